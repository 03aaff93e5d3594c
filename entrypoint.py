"""Action inputs to `dt_action.cli`, and nothing else."""

from dt_action.__main__ import main

if __name__ == "__main__":
    main()

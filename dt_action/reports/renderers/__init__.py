"""What people read of a run: console, Markdown, HTML and badges, each a pure function of the run."""

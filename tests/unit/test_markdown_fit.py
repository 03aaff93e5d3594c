from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dt_action.reports.formats.markdown_fit import cut_bytes, fit

NOTE = "*Shortened.*"
line = st.sampled_from(
    [
        "# Title",
        "",
        "text ü€😀",
        "| a | b |",
        "| - | - |",
        "| 1 | 2 |",
        "```",
        "```python",
        "~~~",
        "<details>",
        "</details>",
    ]
)


def test_what_fits_is_left_alone() -> None:
    assert fit("# A\n\ntext\n", 100, NOTE) == "# A\n\ntext\n"


def test_a_table_that_does_not_fit_is_left_out_whole() -> None:
    table = "| a | b |\n| - | - |\n" + "| 1 | 2 |\n" * 50
    assert fit(f"before\n\n{table}", 200, NOTE) == f"before\n\n{NOTE}\n"


def test_a_fence_that_is_cut_is_closed() -> None:
    text = "```\n" + "a line of a trace\n" * 50 + "```\n"
    cut = fit(text, 200, NOTE)
    assert cut.count("```") == 2
    assert cut.endswith(f"```\n\n{NOTE}\n")


def test_a_row_in_a_fence_is_no_table() -> None:
    text = "```\n" + "| x |\n" * 100 + "```\n"
    assert fit(text, 200, NOTE).count("| x |") > 10


def test_details_are_closed_as_often_as_they_are_open() -> None:
    text = "<details><summary>a</summary>\n\n<details>\n\n" + "text\n\n" * 100 + "</details></details>\n"
    cut = fit(text, 300, NOTE)
    assert cut.count("<details>") == cut.count("</details>") == 2


def test_nothing_is_left_where_not_even_the_note_fits() -> None:
    assert fit("text" * 100, 5, NOTE) == ""


@given(st.lists(line, max_size=60), st.integers(20, 400))
def test_a_cut_is_within_its_budget_and_leaves_nothing_open(lines: list[str], budget: int) -> None:
    text = "\n".join(lines)
    cut = fit(text, budget, NOTE)
    assert len(cut.encode()) <= budget
    if cut == text:
        return
    fence, details = "", 0
    for each in cut.splitlines():
        if fence:
            fence = "" if each.startswith(fence) and not each.strip("`~ ") else fence
        elif each.startswith(("```", "~~~")):
            fence = each[:3]
        else:
            details += each.count("<details>") - (each.count("</details>") if details else 0)
    assert fence == ""
    assert details <= 0


@given(st.text(max_size=50), st.integers(0, 60))
def test_cutting_in_bytes_halves_no_character(text: str, budget: int) -> None:
    cut = cut_bytes(text, budget)
    assert len(cut.encode("utf-8", "replace")) <= max(budget, 0)
    assert text.startswith(cut) or "?" in cut

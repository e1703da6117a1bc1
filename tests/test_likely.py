"""What a reply is likely to say: an earlier one's words in terms of what was measured now."""

from __future__ import annotations

import pytest

from assistant.likely import as_before

LEFT = "m1 left hippocampus: 2.9 mL, 40.1 mm, mean 112, presence 1.00, quality 0.70"
RIGHT = "m2 right hippocampus: 3.0 mL, 12.9 mm, mean 118 HU, presence 1.00, quality 0.71"


def content(words: str, *notes: str) -> str:
    return "".join(f"<p>x</p><SEG><obs>{note}</obs>" for note in notes) + words


@pytest.mark.parametrize(
    ("earlier", "notes", "likely"),
    [
        # 12.9 and m11 hold the signs of "2.9" and "m1", and are neither
        ([content(" The left hippocampus (m1) is 2.9 mL, not 12.9 or m11; 40.1 mm.", LEFT)], [RIGHT],
         " The right hippocampus (m2) is 3.0 mL, not 12.9 or m11; 12.9 mm."),
        # the last reply about as many masks, not the last reply
        ([content(" First m1.", LEFT), content(" Then m1 and m2.", LEFT, RIGHT)], [RIGHT], " First m2."),
        # each note gives way to the one in its place
        ([content(" m1 (2.9 mL) is smaller than m2 (3.0 mL).", LEFT, RIGHT)],
         ["m3 left thalamus: 7.0 mL, 33.0 mm, mean 1", "m4 right thalamus: 7.5 mL, 34.0 mm, mean 2"],
         " m3 (7.0 mL) is smaller than m4 (7.5 mL)."),
        ([content(" The liver was not found.", "liver: not found, presence 0.03")],
         ["spleen: not found, presence 0.01"], " The spleen was not found."),
        ([content("", LEFT)], [RIGHT], ""),
        ([], [RIGHT], ""),
        (["Hello."], [RIGHT], ""),
    ],
)  # fmt: skip
def test_an_earlier_reply_is_said_of_what_was_measured_now(earlier, notes, likely):
    assert as_before(earlier, notes) == likely

"""The words of the page, in one place to be translated. What is computed (answers, measurements) is not here."""

from __future__ import annotations

TITLE = "Deixis"
OPEN_SCAN = "Open scan"
DOWNLOAD_MASKS = "Download masks"
TOUR = "Tour"
UNDO = "Undo"
ASK_TAB, REPORT_TAB, COMPARE_TAB = "Ask", "Ground a report", "Compare with a prior"
CHAT_EMPTY = "**Ask about the scan.** Every structure in an answer is outlined and measured first."
ASK_BOX = "Ask about the scan…"
WHAT_IS_THIS = "What is this?"
FOOT = "Research use only. Not a medical device."
FOOT_MORE = "Measurements come from the masks; check the masks. Coordinates are RAS+ millimetres."
OPENING = "Opening the scan…"
LOADING = "loading the model…"

NO_SCAN = "No scan is open"
IN_LINE = "In line: {ahead} ahead of you…"
STOPPED_IN_LINE = "stopped while it waited"
STOPPED = "stopped before the end"
TOO_LONG = "ended after {seconds:g} s, the limit; ask for less at once"
NOT_SAVED = "not saved: {error}"
CUT_OFF = "The desk was stopped before this was answered; ask it again."

OPEN_PRIOR = "Open the earlier scan"
NO_PRIOR = "No earlier scan is open"
REGISTERING = "Registering the earlier scan…"
COMPARING = "Comparing…"
COMPARE_BOX = "Left hippocampus, or: has it grown?"
COMPARE_EMPTY = "Open an earlier scan of the same patient, then name a structure: has it grown?"
SAVE = "Save"

OPEN_REPORT = "Open .txt"
EXAMPLE_REPORT = "Example report"
GROUND = "Ground it"
CHECKING = "Checking the report…"
REPORT_BOX = "Paste a radiology report of this scan…"
REPORT_EMPTY = "Paste a report and ground it: each sentence gets its masks; contradictions are said."

# Questions to begin with, by the modality of the open scan.
QUESTIONS = {
    "MR": (
        "Is the left hippocampus smaller than the right?",
        "Show me both lateral ventricles. How large are they together?",
        "Which structure forms new memories?",
        "Is there a tumour?",
    ),
    "CT": (
        "Find both parotid glands and compare them.",
        "Where is the spinal cord?",
        "How big is the mandible?",
        "Is the liver in this scan?",
    ),
    "PET": ("Is there a tumour?", "How large is the tumour?"),
}

TOUR_WORDS = {"back": "Back", "next": "Next", "skip": "Skip", "done": "Done"}
# What each step points at (a CSS selector), its heading and its words.
TOUR_STEPS = (
    ("#dx-open", "Open a scan",
     "NIfTI, NRRD, MHA or a zipped DICOM series; or drop it on the viewer. Beside it are three examples."),
    ("#dx-view", "Look",
     "Three planes and 3D. The wheel goes through the slices; a click moves the crosshair."),
    ("#dx-box", "Ask",
     "Type a question. What the answer names is segmented and measured before a word is said about it."),
    ("#dx-table", "Check",
     "Every mask with its volume, diameter, presence and quality. A triangle marks what to look at twice."),
    (".dx-acts", "Point",
     "Put the crosshair somewhere and ask “What is this?”, or add points for your next question."),
    ("#dx-tabs", "Reports and priors",
     "Ground a report checks each sentence of it; Compare with a prior says what has grown."),
    ("#dx-download", "Keep",
     "Masks, a table and a summary page as one file. When you reload the page your desk is here as you left it."),
)  # fmt: skip

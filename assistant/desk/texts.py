"""The words of the page, in one place to be translated. What is computed (answers, measurements) is not here."""

from __future__ import annotations

from typing import Any

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
REPORT_EMPTY = (
    "Paste a report, then press “Ground it”: each sentence is tied to its masks, and what the measurements contradict "
    "is flagged."
)

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

# The list of findings, the chat and the row below it. {names} in braces are filled in.
TABLE = {
    "none": "No findings yet. Ask about a structure.", "all": "show all masks", "show": "show {mask}", "id": "Id",
    "structure": "Structure", "volume": "Volume", "volume_how": "measured, millilitres", "longest": "Longest",
    "longest_how": "measured", "mean": "Mean", "mean_how": "mean intensity inside the mask", "presence": "Presence",
    "presence_how": "how sure that it is there at all, 0 to 1", "quality": "Quality",
    "quality_how": "estimated overlap with the true outline, 0 to 1", "not_found": "not found",
    "untaught": "never taught: it may be there", "low_presence": "low presence: look at the mask",
    "low_quality": "low quality: look at the mask", "look": "show it in the viewer",
    "select": "select it: points and a box refine it, and it is what “it” means",
}
CHAT = {
    "no_words": "(no words)", "go_on": "go on from here",
    "go_on_how": "take back what was asked after this, to ask something else; it can be returned to",
    "earlier_branch": "earlier branch", "later_branch": "later branch",
}
POINTS = {
    "with": "With the next question (RAS mm):", "drop_point": "remove this point", "drop_box": "remove the box",
    "selected": "Selected:", "hint": "place + and − points or draw a box to refine it", "refine": "Refine {mask}",
    "deselect": "select no mask",
}
CHIP = {
    "absent": "looked for and not found, presence {presence}", "untaught": "never taught: it may be there",
    "low": "low: look at the mask",
}
REDO, RETRY, EDIT_LAST = "Redo", "Retry", "Edit last"
NOTES = ("{n} note", "{n} notes")
CHANGES = {
    "structure": "Structure", "now": "Now", "before": "Before", "change": "Change", "overlap": "Overlap",
    "interval": "Interval: {days} days.", "no_interval": "Interval: unknown: a header has no date.",
    "not_found": "not found", "of_before": "{name}, before",
}

# The viewer: viewer.html takes these where it says [[name]], the scripts get all of them.
VIEWER: dict[str, Any] = {
    "viewer": "Scan viewer", "toolbar": "Viewer", "layout": "layout", "all": "All", "axial": "Axial",
    "coronal": "Coronal", "sagittal": "Sagittal", "3d": "3D",
    "planes": {"axial": "axial", "coronal": "coronal", "sagittal": "sagittal"},
    "windowing": "grey window", "windowing_how": "or drag with the right button on a slice", "preset": "window preset",
    "custom": "Custom", "level_short": "L", "level": "window level", "level_how": "window level: the middle grey",
    "width_short": "W", "width": "window width", "width_how": "window width: from black to white",
    "radiological": "Radiological", "neurological": "Neurological",
    "radiological_how": "radiological: the patient's right is on the left of the picture",
    "outline": "Outline", "fill": "Fill", "outline_how": "all masks as outlines",
    "masks": "Masks", "all_masks": "All masks", "all_masks_opacity": "opacity of all masks",
    "no_masks": "No masks yet.",
    "scan_in_3d": "Scan in 3D", "scan_in_3d_how": "off: the surfaces of the masks alone",
    "show_mask": "show {mask}", "drawing_of": "drawing of {mask}", "colour_of": "colour of {mask}",
    "opacity_of": "opacity of {mask}",
    "doubt": "Uncertainty", "doubt_of": "Uncertainty of {mask}", "unsure": "unsure {bits} bit", "bit": "1 bit",
    "doubt_how": "where the mask depends on what should not matter: the scan is seen four times, mirrored and in other "
                 "greys",
    "doubting": "Computing the uncertainty of {mask}: four looks at the scan…",
    "picture": "Screenshot", "picture_how": "save what is shown as a PNG file (S)",
    "picture_line": "RAS mm {mm} ({words}) · {value} · level {level}, width {width} · {convention}",
    "picture_foot": "Deixis. Research use only. Not a medical device.", "no_picture": "The picture could not be made.",
    "earlier": "Earlier scan", "earlier_how": "the earlier scan beside the present one, at the same place",
    "now_caption": "now", "earlier_caption": "before: {name}",
    "keys": "keyboard shortcuts",
    "key_list": (
        ("← → ↑ ↓", "move the crosshair in the plane (Shift: ten voxels)"),
        ("Page Up, Page Down", "next slice, previous slice (or the wheel)"), ("P", "next plane for the keys"),
        ("Home", "middle of the scan"), ("1 2 3 4 5", "all, axial, coronal, sagittal, 3D"), ("W", "next window preset"),
        ("R", "radiological or neurological"), ("O", "outline or fill"), ("M", "show or hide all masks"),
        ("+ −", "point inside, point outside"), ("Enter", "what is this?"), ("S", "save a screenshot"),
        ("Right button", "drag on a slice: width to the side, level up and down"),
    ),
    "pointing": "point at the scan", "box": "□ box", "plus": "+ point", "minus": "− point", "what": "What is this?",
    "box_how": "draw a box on a slice: it goes with the next question, or refines the selected mask",
    "plus_how": "the crosshair is inside what I mean: goes with the next question, or refines the selected mask",
    "minus_how": "the crosshair is NOT in what I mean: goes with the next question, or refines the selected mask",
    "what_how": "ask about the structure under the crosshair",
    "canvas": "Slices of the scan. Arrow keys move the crosshair, Page Up and Page Down change the slice; the ? button "
              "lists the others.",
    "drop": "Drop a scan here", "drop_kinds": ".nii, .nii.gz, .nrrd, .mha, a zip or the files of a DICOM series",
    "where": "the crosshair, RAS+ millimetres", "ras": "RAS mm",
    "loading": "Loading the scan…", "failed": "The viewer could not show this: {error}",
    "no_niivue": "NiiVue is not installed (npm ci installs it): plain slices.",
    "no_webgl": "This browser has no WebGL2: plain slices.",
}  # fmt: skip

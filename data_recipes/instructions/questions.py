"""Question templates, one tuple a kind. {x} names what is asked for, {is}/{it} agree with it; {a}, {b} are two.

They are many and varied where the replies are few: what a user types is free, what the program says is not.
"""

from __future__ import annotations

SHOW = (
    "show me {x}", "segment {x}", "segment {x} please", "find {x}", "where {is} {x}?", "{x}", "{x}?", "mark {x}",
    "outline {x}", "delineate {x}", "contour {x}", "highlight {x}", "can you find {x}?",
    "can you segment {x} for me?", "could you show {x} in this scan?", "locate {x}", "I need {x}",
    "I want to see {x}", "give me {x}", "give me a mask of {x}", "draw {x}", "point out {x}",
    "please segment {x} on this scan", "let me see {x}", "what about {x}?", "label {x}", "{x}, where {is} {it}?",
    "make a mask for {x}", "isolate {x}", "trace {x}", "paint {x}", "show {x} on the image",
    "I would like {x} outlined", "get {x}", "display {x}", "extract {x} from the volume", "annotate {x}",
    "pick out {x}", "where can I find {x} here?", "where exactly {is} {x} located?", "segmentation of {x}",
    "mask: {x}", "identify {x}", "tell me where {x} {is}", "would you mark {x} in colour?",
    "do a segmentation of {x}", "create an overlay of {x}", "go to {x}", "put {x} in the viewer",
    "I'm looking for {x}", "which voxels belong to {x}?", "next, {x}", "try {x}", "help me find {x}", "roi of {x}",
    "auto-contour {x}", "The radiologist asked me to outline {x}. Can you do it?",
    "For the report I need {x} delineated.", "We are planning a study and want {x} segmented.",
)  # fmt: skip
SIZE = (
    "how big {is} {x}?", "how large {is} {x}?", "what is the size of {x}?", "size of {x}", "size of {x}?",
    "measure {x}", "measure {x} please", "where {is} {x} and how big {is} {it}?", "find {x} and measure {it}",
    "{x} size?", "how big {is} {x} in this scan?", "dimensions of {x}", "what are the dimensions of {x}?",
    "tell me how large {x} {is}", "give me measurements of {x}", "measurements for {x}", "quantify {x}",
    "segment {x} and tell me the size", "show {x} with its size", "how much space does {x} take up?",
    "I need the measurements of {x}", "show me {x} and how big {it} {is}", "report the size of {x}", "{x}: how big?",
    "{x} - big or small? give numbers", "how big would you say {x} {is}?", "can you measure {x}?",
    "could you please size {x}?", "what does {x} measure?", "get me the numbers for {x}", "stats for {x}",
    "morphometry of {x}", "how extensive {is} {x}?", "please report volume and diameter of {x}",
    "volume and longest diameter of {x}", "size up {x}", "{x} measurements",
)  # fmt: skip
VOLUME = (
    "what is the volume of {x}?", "volume of {x}", "volume of {x}?", "{x} volume", "{x} volume?",
    "how many mL {is} {x}?", "how many millilitres {is} {x}?", "how many cc {is} {x}?", "give the volume of {x}",
    "calculate the volume of {x}", "compute {x} volume", "vol {x}", "vol. of {x} in ml?",
    "what volume does {x} have?", "how voluminous {is} {x}?", "tell me the volume of {x} in millilitres",
    "I need the volume of {x}", "volumetry of {x}", "what's {x}'s volume?", "volumetric measurement of {x}",
    "estimate the volume of {x}", "{x} in mL?", "how much volume {is} {x}?", "report {x} volume",
)  # fmt: skip
DIAMETER = (
    "what is the longest diameter of {x}?", "longest diameter of {x}", "how long {is} {x}?", "diameter of {x}?",
    "{x} diameter", "how many mm {is} {x}?", "how many millimetres across {is} {x}?", "maximum diameter of {x}",
    "max diameter {x}", "what is the length of {x}?", "length of {x}", "largest extent of {x}",
    "how wide {is} {x} at most?", "give me the diameter of {x}", "measure the length of {x}",
    "what's the biggest dimension of {x}?", "greatest diameter of {x} in mm", "{x} length in mm?",
    "how far does {x} stretch?", "the longest axis of {x}?", "RECIST diameter of {x}",
)  # fmt: skip
INTENSITY = (
    "what is the mean intensity of {x}?", "mean intensity of {x}", "how bright {is} {x}?", "average intensity in {x}",
    "{x} intensity", "signal in {x}?", "mean signal of {x}", "what is the average value inside {x}?",
    "mean value of {x}", "how bright {is} {x} on average?", "what grey value does {x} have?", "intensity of {x}?",
    "average brightness of {x}", "signal intensity of {x}", "give me the mean of {x}",
    "report the mean intensity in {x}", "what's the mean voxel value in {x}?", "{x} mean?",
    "average voxel value of {x}", "how dark or bright {is} {x}?", "mean gray level of {x}",
)  # fmt: skip
INTENSITY_CT = (
    "what is the density of {x}?", "HU of {x}", "mean HU of {x}?", "how many HU {is} {x}?", "Hounsfield units of {x}",
    "CT number of {x}", "attenuation of {x}", "how dense {is} {x}?", "average Hounsfield value in {x}",
)  # fmt: skip
INTENSITY_PET = (
    "what is the SUV of {x}?", "SUVmean of {x}", "mean SUV in {x}", "uptake of {x}", "how active {is} {x}?",
    "how hot {is} {x}?", "FDG uptake in {x}?", "average SUV of {x}", "how avid {is} {x}?",
    "metabolic activity of {x}",
)  # fmt: skip
CONFIDENCE = (
    "how sure are you about {x}?", "how certain {is} the segmentation of {x}?", "confidence for {x}",
    "how confident are you that you found {x}?", "how good is the mask of {x}?", "quality of {x}?",
    "can I trust the outline of {x}?", "are you sure about {x}?", "presence and quality of {x}",
    "how reliable {is} {x}?", "what is the quality of the {x} mask?", "how well did you segment {x}?",
    "probability of {x}?", "certainty {x}", "is your {x} mask any good?", "what's your confidence in {x}?",
    "how likely is it that this is {x}?", "score of {x}", "presence of {x} in numbers", "how accurate {is} {x}?",
    "rate the mask of {x}",
)  # fmt: skip
THERE = (
    "is there {x}?", "is there {x} in this scan?", "{is} {x} in this scan?", "{is} {x} visible?", "{is} {x} present?",
    "do you see {x}?", "can you see {x}?", "do you find {x}?", "can {x} be seen?", "does this scan show {x}?",
    "does the image contain {x}?", "{is} {x} in the image?", "any {x}?", "any sign of {x}?", "any sign of {x} here?",
    "check for {x}", "check whether {x} {is} there", "look for {x}: {is} {it} there?", "{is} {x} included?",
    "I wonder if {x} {is} in the field of view", "{x} present?", "{x} visible?", "{x}: yes or no?",
    "does the patient have {x}?", "did you spot {x}?", "{is} {x} there or not?", "{Is} {x} covered by this scan?",
    "have you got {x} in there?", "can I see {x} on this one?", "is the scan big enough to show {x}?",
    "tell me whether {x} {is} present", "exists {x}?", "see {x} anywhere?", "{is} {x} within the volume?",
)  # fmt: skip
TUMOUR_THERE = (
    "is there a tumour?", "any tumour?", "is there a tumor in this scan?", "do you see a lesion?", "any lesion?",
    "any mass?", "is there a mass?", "does this patient have cancer?", "anything suspicious?", "any abnormality?",
    "is there something that should not be there?", "any pathology?", "tumor yes or no", "can you see any growth?",
    "are there any lesions?", "is a neoplasm visible?", "any tumours here?", "do you find anything abnormal?",
    "is there anything wrong with this scan?", "does it show a tumour?", "look for a mass", "check for tumours",
    "lesion present?", "malignancy?",
)  # fmt: skip
SMALLER = (
    "is {a} smaller than {b}?", "is {a} less than {b} in volume?", "does {a} have less volume than {b}?",
    "would you say {a} is smaller than {b}?", "is {a} smaller compared to {b}?", "compared with {b}, is {a} smaller?",
    "{a} smaller than {b}?", "am I right that {a} is smaller than {b}?", "check if {a} is smaller than {b}",
    "I think {a} is smaller than {b}. True?", "is the volume of {a} below that of {b}?", "{a} < {b}?",
    "can you tell whether {a} is smaller than {b}?", "is {a} shrunken compared with {b}?",
    "is {a} the smaller one, against {b}?", "relative to {b}, is {a} small?", "does {a} look smaller than {b}?",
    "is {a} any smaller than {b}?", "measure: is {a} smaller than {b}?", "tell me if {a} is smaller than {b}",
)  # fmt: skip
LARGER = (
    "is {a} larger than {b}?", "is {a} bigger than {b}?", "does {a} have more volume than {b}?",
    "is {a} greater than {b} in volume?", "{a} bigger than {b}?", "would you say {a} is bigger than {b}?",
    "compared with {b}, is {a} larger?", "is {a} larger compared to {b}?", "am I right that {a} is larger than {b}?",
    "check if {a} is bigger than {b}", "I think {a} is bigger than {b}. True?",
    "is the volume of {a} above that of {b}?", "{a} > {b}?", "can you tell whether {a} is larger than {b}?",
    "is {a} enlarged compared with {b}?", "is {a} the bigger one, against {b}?", "relative to {b}, is {a} big?",
    "does {a} look bigger than {b}?", "is {a} any larger than {b}?", "tell me if {a} is larger than {b}",
)  # fmt: skip
SAME = (
    "are {a} and {b} the same size?", "are {a} and {b} equal in size?", "is {a} as big as {b}?",
    "is {a} the same size as {b}?", "do {a} and {b} have the same volume?", "are {a} and {b} symmetric?",
    "is {a} just as large as {b}?", "are {a} and {b} equally large?", "do {a} and {b} match in volume?", "{a} = {b}?",
    "how alike in size are {a} and {b}? equal?", "are {a} and {b} of equal volume?", "{a} and {b}: same size?",
    "is {a} equal to {b}?", "are {a} and {b} similar to the millilitre?", "is {a} no different in size from {b}?",
    "are {a} and {b} balanced?", "same volume for {a} and {b}?", "is {a} identical in volume to {b}?",
    "equal, {a} and {b}?",
)  # fmt: skip
COMPARE = (
    "compare {a} and {b}", "compare {a} with {b}", "compare {a} to {b}", "which is bigger, {a} or {b}?",
    "which is larger, {a} or {b}?", "which is smaller: {a} or {b}?", "{a} vs {b}", "{a} versus {b}",
    "{a} or {b}, which is bigger?", "difference between {a} and {b}?",
    "what is the difference in volume between {a} and {b}?", "by how much do {a} and {b} differ?",
    "how do {a} and {b} compare?", "how does {a} compare to {b}?", "how much larger is {a} than {b}?",
    "put {a} and {b} side by side", "which has more volume, {a} or {b}?", "contrast {a} with {b}",
    "how different are {a} and {b}?", "is there a size difference between {a} and {b}?", "{a} against {b}",
    "what's the volume difference {a} {b}?", "measure {a} and {b} and compare them",
    "give me a comparison of {a} and {b}", "of {a} and {b}, which one is smaller?",
)  # fmt: skip
SIDES_COMPARE = (
    "compare {xs}", "compare the {xs}", "compare the two {xs}", "compare left and right {x}", "left vs right {x}",
    "{x} left versus right", "which {x} is bigger?", "which {x} is larger?", "which {x} is smaller?",
    "which side has the larger {x}?", "which side has the smaller {x}?", "{x} asymmetry?",
    "is there asymmetry of the {xs}?", "are the {xs} asymmetric?", "do the {xs} differ in size?",
    "difference between the {xs}", "is one {x} smaller than the other?", "is one of the {xs} bigger?",
    "L/R difference {x}", "on which side is the {x} bigger?", "how asymmetric are the {xs}?",
    "side difference of the {x}?", "{x}: left-right comparison", "left {x} against right {x}, please compare",
)  # fmt: skip
SIDES_SAME = (
    "are the {xs} the same size?", "are both {xs} equally big?", "are the {xs} symmetric?",
    "are the left and right {x} the same size?", "are both {xs} equal?", "do both {xs} have the same volume?",
    "is the {x} symmetric?", "same size {xs}?", "are the two {xs} equal in volume?", "are the {xs} equally large?",
    "is the left {x} as big as the right?", "{xs} symmetric?", "symmetry of the {xs}?", "do the {xs} match?",
    "is left and right {x} equal?", "equal {xs}?", "are my {xs} even?", "no difference between the {xs}?",
    "do left and right {x} agree in size?", "both {xs} same?",
)  # fmt: skip
TOGETHER = (
    "what is the total volume of {x}?", "total volume of {x}", "how big {is} {x} together?", "{x} together?",
    "combined volume of {x}", "sum of {x}", "add up {x}", "how much {is} {x} in total?", "{x} combined",
    "volume of {x} put together", "what do {x} add up to?", "total of {x}?", "together, how large {is} {x}?",
    "the sum of the volumes of {x}", "how many mL {is} {x} altogether?", "taken together, how big {is} {x}?",
    "{x} total volume?", "overall volume of {x}", "what's the joint volume of {x}?", "sum up {x}",
)  # fmt: skip
NORMAL = (
    "{is} {x} normal?", "{is} {x} atrophic?", "{is} {x} too small?", "{is} {x} enlarged?", "does {x} look healthy?",
    "{is} {x} ok?", "{is} {x} within normal limits?", "is the size of {x} normal?", "should I worry about {x}?",
    "{is} {x} abnormal?", "is there atrophy of {x}?", "{is} {x} pathological?", "{is} {x} shrunken?",
    "{is} {x} dilated?", "{is} {x} bigger than it should be?", "what do you think of {x}?", "any disease of {x}?",
    "assess {x}", "{is} {x} alright?", "{is} {x} swollen?",
)  # fmt: skip
REGION = (
    "what is this?", "what is this", "what's this?", "what is here?", "what am I pointing at?",
    "which structure is this?", "name this structure", "what did I click on?", "what is that?", "identify this",
    "what is at this point?", "what is the marked region?", "tell me what this is", "which part is this?",
    "and this?", "what organ is this?", "this one?", "what is inside this box?", "what do we see here?",
    "what is this structure called?", "do you know what this is?", "what's here?", "what is this thing",
    "segment this", "outline this", "mark this structure", "segment what I clicked", "contour this one",
    "what lies here?", "which region is that", "name it", "this?", "what's under the cursor?",
    "what is the highlighted area?", "please segment the structure at this point", "can you tell me what this is?",
    "whats that spot",
)  # fmt: skip
REGION_SIZE = (
    "how big is this?", "how large is that?", "measure this", "size of this?", "what is this and how big is it?",
    "volume of this structure?", "what does this measure?", "how big is the thing here?", "give me the size of this",
    "measure the marked region", "how large is this structure?", "this one: how big?", "measure what I clicked",
    "what are its measurements?", "measure that for me", "dimensions of this", "how big is it?",
    "and how big is this?", "size of the selected structure", "how many mL is this?",
)  # fmt: skip
FUNCTION = (
    "which structure {f}?", "what structure {f}?", "find the structure that {f}", "show me the structure that {f}",
    "segment the part that {f}", "where is the structure that {f}?", "which part of the body {f}?",
    "which region {f}?", "what {f}?", "can you find what {f}?", "I am looking for the structure which {f}",
    "mark what {f}", "show the one that {f}", "what part here {f}?", "point to the structure that {f}",
    "highlight the structure that {f}", "locate the structure which {f}", "name and segment the structure that {f}",
    "I forgot the name: it {f}", "the one that {f}, please", "which organ or part {f}?",
    "do you know which structure {f}? show it", "find me whatever {f}", "outline the thing that {f}",
)  # fmt: skip
FUNCTION_SIDE = (
    "which structure on the {side} {f}?", "find the structure on the {side} that {f}",
    "show me the {side} structure that {f}", "segment the {side}-sided part that {f}",
    "the one on the {side} that {f}", "on the {side}, which part {f}?", "where is the {side} structure that {f}?",
    "mark the structure of the {side} side that {f}", "{side} side: what {f}?", "which {side} structure {f}?",
    "highlight the {side} one that {f}", "outline the {side} part that {f}", "on the {side} side, what {f}?",
    "point to the {side} structure which {f}", "find the {side} thing that {f}",
    "only on the {side}: which structure {f}?", "name the {side} structure that {f}",
    "locate the {side} structure that {f}", "show the part on the {side} which {f}",
    "can you find on the {side} what {f}?",
)  # fmt: skip
DOES = (
    "what does {x} do?", "what is {x} for?", "what is the function of {x}?", "function of {x}?", "tell me about {x}",
    "what is {x}?", "explain {x}", "why is {x} important?", "what is the role of {x}?", "what job does {x} have?",
    "what {is} {x} good for?", "role of {x}", "describe {x}", "what's {x}?", "info on {x}",
    "what is known about {x}?", "give me some background on {x}", "what would I need {x} for?",
    "in one sentence, what {is} {x}?", "{x} function?",
)  # fmt: skip
OVERVIEW = (
    "what do you see?", "what is in this scan?", "what does this scan show?", "describe this scan",
    "what is this scan of?", "describe the image", "what can you see here?", "give me an overview",
    "summarize the scan", "what am I looking at?", "which body part is this?", "what kind of scan is this?",
    "what's on the image?", "tell me about this scan", "what is visible?", "read this scan", "report",
    "write a report", "overview please", "what do we have here in this volume?", "what part of the body is this?",
    "is this a brain scan?",
)  # fmt: skip
EVERYTHING = (
    "segment everything", "all structures", "show me everything you know", "segment all organs", "all of it",
    "mark every structure", "everything please", "segment the whole scan", "find all structures in this scan",
    "segment all you can", "full segmentation", "all organs", "label everything", "do a complete segmentation",
    "outline all structures", "whole-scan segmentation", "every structure you can find", "auto-segment the scan",
    "contour all organs at risk", "give me all masks",
)  # fmt: skip
OTHER_SIDE = (
    "now the right one", "and the {side} one?", "now the {side} one", "and the other side?", "the other side",
    "now the other one", "what about the {side}?", "and on the {side}?", "same for the {side} side",
    "same on the other side", "and the {side}?", "now {side}", "{side} too", "do the {side} one as well",
    "the {side} one please", "also the {side} one", "and its counterpart?", "the contralateral one",
    "now show me the {side} one", "other side too please", "what about the opposite side?",
    "repeat for the {side} side", "{side} side now", "how about the {side} one?", "mirror: the {side} one",
)  # fmt: skip
ALSO = (
    "and {x}?", "now {x}", "also {x}", "what about {x}?", "then {x}", "next {x}", "and now {x} please", "add {x}",
    "{x} too", "{x} as well", "how about {x}?", "and what about {x}?", "same for {x}", "do the same for {x}",
    "now show {x}", "also show me {x}", "continue with {x}", "plus {x}", "ok now {x}", "moving on: {x}",
    "could you also find {x}?", "and also {x}",
)  # fmt: skip
BOTH_TOGETHER = (
    "and both together?", "both together", "how big are they together?", "together?", "what is the total?",
    "total volume?", "sum?", "combine them", "merge the two", "add them up", "what do they add up to?",
    "union of both", "put them together", "combined volume?", "as one mask please", "join the two masks",
    "how much is that in total?", "both combined?", "and in total?", "make one mask of the two", "sum of the two",
    "the two together?", "what's the volume of both?", "add m1 and m2",
)  # fmt: skip
IDS_TOGETHER = (
    "{i} + {j}", "{i} and {j} together", "combine {i} and {j}", "merge {i} with {j}", "union of {i} and {j}",
    "add {j} to {i}", "sum of {i} and {j}", "join {i} and {j}", "{i} plus {j}", "total of {i} and {j}?",
    "how big are {i} and {j} together?", "put {i} and {j} into one mask", "{i} or {j} as one mask",
    "what is {i} + {j}?", "make one mask from {i} and {j}", "fuse {i} and {j}", "{i} combined with {j}",
    "volume of {i} and {j} together", "unite {i} and {j}", "{i} united with {j}",
)  # fmt: skip
IDS_MINUS = (
    "{i} - {j}", "{i} minus {j}", "{i} without {j}", "subtract {j} from {i}", "take {j} out of {i}",
    "remove {j} from {i}", "what is {i} without {j}?", "{i} but not {j}", "exclude {j} from {i}",
    "cut {j} out of {i}", "{i} except {j}", "the rest of {i} without {j}", "what is left of {i} when {j} is removed?",
    "how big is {i} minus {j}?", "{i} excluding {j}", "{i} less {j}", "only the part of {i} that is not {j}",
    "difference {i} - {j}", "drop {j} from {i}", "{i} with {j} taken away",
)  # fmt: skip
FIRST_WITHOUT = (
    "the first without the second", "the first minus the second", "subtract the second from the first",
    "the first one without the second one", "first but not second", "take the second out of the first",
    "remove the second from the first", "what is the first without the second?",
    "exclude the second one from the first", "first minus second", "cut the second out of the first",
    "the first except the second",
)  # fmt: skip
IDS_OVERLAP = (
    "{i} & {j}", "do {i} and {j} overlap?", "overlap of {i} and {j}", "intersection of {i} and {j}",
    "intersect {i} and {j}", "what do {i} and {j} share?", "common part of {i} and {j}",
    "where do {i} and {j} overlap?", "how much do {i} and {j} overlap?", "shared volume of {i} and {j}",
    "is {j} inside {i}?", "do {i} and {j} touch the same voxels?", "part of {i} in {j}",
    "the part that {i} and {j} have in common", "overlapping region of {i} and {j}?",
    "any overlap between {i} and {j}?", "cut set of {i} and {j}", "{i} and {j} intersection", "{i} inside {j}?",
    "intersection {i} {j}",
)  # fmt: skip
RECALL_SIZE = (
    "how big was it?", "how big is it?", "and how big is it?", "size?", "its size?", "what was its size again?",
    "how large was that?", "remind me of the size", "and its measurements?", "how big was that one?",
    "repeat the measurement", "tell me its size again", "what did it measure?", "measure it", "how large is it?",
    "and the size?", "say the size again", "what were the numbers?", "how big exactly?", "dimensions?",
)  # fmt: skip
RECALL_VOLUME = (
    "its volume?", "what was the volume?", "and the volume?", "volume?", "how many mL was it?",
    "what volume does it have?", "repeat the volume", "remind me of its volume", "in mL?", "how many cc?",
    "volume again please", "what's its volume?", "give me its volume", "tell me the volume of it", "how much volume?",
    "and in millilitres?", "what was its volume again?", "vol?", "the volume please", "it has what volume?",
)  # fmt: skip
RECALL_DIAMETER = (
    "how long is it?", "its longest diameter?", "and the diameter?", "diameter?", "how long was it?",
    "what is its length?", "how many mm?", "max diameter?", "what was the longest diameter?", "its length please",
    "how long exactly?", "what's its diameter?", "the diameter again", "longest axis?", "in millimetres?",
    "how far does it reach?", "and how long is it?", "remind me of its diameter", "what diameter does it have?",
    "length?",
)  # fmt: skip
RECALL_INTENSITY = (
    "how bright is it?", "its mean intensity?", "mean intensity?", "and the intensity?", "what is its mean?",
    "average value?", "what was its intensity?", "mean signal in it?", "its brightness?", "mean?",
    "what's the mean inside it?", "intensity?", "how bright was it?", "its average signal?",
    "average intensity of it?", "the mean value please", "give me its intensity", "and its mean?",
    "what's its signal?", "grey value?",
)  # fmt: skip
RECALL_CONFIDENCE = (
    "are you sure?", "how sure are you?", "how certain is that?", "confidence?", "really?", "how confident are you?",
    "how good is the mask?", "quality?", "can I trust that?", "is that reliable?", "sure?", "how well did that work?",
    "what's your confidence?", "presence and quality?", "how accurate is it?", "certainty?", "is the mask any good?",
    "how reliable is it?", "are you certain about it?", "is that right?",
)  # fmt: skip
RECALL_ID = (
    "how big is {i}?", "how big was {i}?", "size of {i}", "{i}?", "{i}", "show {i} again", "show me {i}",
    "what is {i}?", "what was {i}?", "tell me about {i}", "measure {i}", "{i} size?", "go back to {i}", "recall {i}",
    "{i} again please", "remind me: {i}", "numbers for {i}", "highlight {i}", "measurements of {i}", "volume of {i}",
)  # fmt: skip
RECALL_ORDER = (
    "how big was the {n} one?", "show the {n} one again", "the {n} one", "the {n} mask?", "size of the {n} one",
    "what was the {n} one?", "how large was the {n}?", "go back to the {n} one", "and the {n} one, how big?",
    "measure the {n} one", "remind me of the {n} one", "the {n} again", "repeat the {n} one",
    "volume of the {n} one?", "back to the {n} mask", "the {n} structure again", "tell me about the {n} one",
    "recall the {n} one", "numbers of the {n} one", "highlight the {n} one",
)  # fmt: skip
COMPARE_LAST = (
    "which is bigger?", "which one is larger?", "which of the two is bigger?", "which is smaller?", "compare them",
    "compare the two", "how do they compare?", "what's the difference?", "difference?", "by how much do they differ?",
    "is one bigger?", "do they differ?", "which one is smaller?", "which has more volume?", "how different are they?",
    "compare both", "and compared with each other?", "which wins?", "side by side?",
    "what is the difference in volume?",
)  # fmt: skip
SMALLER_LAST = (
    "is the first smaller than the second?", "is the first one smaller?", "is the first smaller?",
    "the first is smaller, right?", "is {i} smaller than {j}?", "{i} < {j}?", "is {i} the smaller one?",
    "is {i} smaller?",
)  # fmt: skip
LARGER_LAST = (
    "is the first larger than the second?", "is the first one bigger?", "is the first bigger?",
    "the first is bigger, right?", "is {i} bigger than {j}?", "{i} > {j}?", "is {i} the larger one?",
    "is {i} larger?",
)  # fmt: skip
SAME_LAST = (
    "are they the same size?", "are they equal?", "same size?", "equally big?", "are both the same?",
    "do they have the same volume?", "is it symmetric?", "are {i} and {j} the same size?", "{i} = {j}?",
    "are {i} and {j} equal?",
)  # fmt: skip
# Whole questions in other languages: (language, template); {x} is the name in that language.
FOREIGN_SHOW = (
    ("de", "Zeig mir {x}"), ("de", "Wo ist {x}?"), ("de", "Bitte segmentiere {x}"), ("de", "{x} markieren"),
    ("de", "Kannst du {x} finden?"), ("de", "{x}?"), ("fr", "Montre-moi {x}"), ("fr", "Où est {x} ?"),
    ("fr", "Segmente {x} s'il te plaît"), ("fr", "Peux-tu trouver {x} ?"), ("fr", "{x} ?"), ("fr", "Délimite {x}"),
    ("es", "Muéstrame {x}"), ("es", "¿Dónde está {x}?"), ("es", "Segmenta {x} por favor"),
    ("es", "¿Puedes encontrar {x}?"), ("es", "¿{x}?"), ("es", "Marca {x}"), ("zh", "请分割{x}"), ("zh", "{x}在哪里？"),
    ("zh", "显示{x}"), ("zh", "{x}"), ("zh", "帮我找{x}"), ("zh", "标出{x}"),
)  # fmt: skip
FOREIGN_SIZE = (
    ("de", "Wie groß ist {x}?"), ("de", "Miss {x}"), ("de", "Größe von {x}?"),
    ("de", "Wie groß ist {x} auf dieser Aufnahme?"), ("de", "Abmessungen: {x}"),
    ("fr", "Quelle est la taille de : {x} ?"), ("fr", "Mesure {x}"), ("fr", "{x}, quelle taille ?"),
    ("fr", "Quelles sont les dimensions ? {x}"), ("fr", "Taille : {x}"), ("es", "¿Qué tamaño tiene {x}?"),
    ("es", "Mide {x}"), ("es", "Tamaño de {x}"), ("es", "¿Cuánto mide {x}?"), ("es", "Dimensiones: {x}"),
    ("zh", "{x}有多大？"), ("zh", "测量{x}"), ("zh", "{x}的大小"), ("zh", "{x}多大"), ("zh", "请测量{x}"),
)  # fmt: skip
FOREIGN_THERE = (
    ("de", "Ist {x} zu sehen?"), ("de", "Gibt es hier {x}?"), ("de", "Sieht man {x}?"), ("de", "{x} vorhanden?"),
    ("de", "Erkennst du {x}?"), ("fr", "Est-ce qu'on voit {x} ?"), ("fr", "Y a-t-il {x} ?"),
    ("fr", "{x} est visible ?"), ("fr", "Vois-tu {x} ?"), ("fr", "{x}, présent ou non ?"), ("es", "¿Se ve {x}?"),
    ("es", "¿Hay {x}?"), ("es", "¿Ves {x}?"), ("es", "¿Está presente {x}?"), ("es", "¿Aparece {x}?"),
    ("zh", "有{x}吗？"), ("zh", "能看到{x}吗？"), ("zh", "图像中有没有{x}？"), ("zh", "{x}可见吗？"),
    ("zh", "看得到{x}吗"),
)  # fmt: skip

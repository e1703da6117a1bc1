"""Questions of people who know no anatomy, by the structure that they are about: held out, never learned from.

They were written before the roles of `data_recipes.roles`, by the same hand. Of two questions the second was not looked
at while the roles were mended.
"""

from __future__ import annotations

LAY_QUESTIONS: dict[str, tuple[str, ...]] = {
    "hippocampus": (
        "What part lets you remember where you parked the car?",
        "Which bit would make you forget yesterday if it were damaged?",
    ),
    "amygdala": ("Show me the fear centre.", "What makes us anxious?"),
    "brainstem": (
        "Which part keeps the heart beating and the lungs going when someone is asleep?",
        "Which part keeps us awake and breathing?",
    ),
    "cerebellar cortex": ("What helps you keep your balance?", "Which part makes a drunk person stagger?"),
    "thalamus": (
        "Which part passes on what the eyes and ears report to the cortex?",
        "Where do all the senses except smell stop over?",
    ),
    "nucleus accumbens": ("Where is the brain's pleasure centre?", "What gets hooked in drug addiction?"),
    "caudate nucleus": ("Which structure is hit in Huntington's disease?",),
    "lateral ventricle": ("Where is the fluid made that cushions the brain?", "What swells in hydrocephalus?"),
    "cerebral cortex": ("Where do we think and plan?",),
    "cerebral white matter": ("Which fibres does multiple sclerosis attack?",),
    "larynx": ("What do I speak with?", "Which part makes me hoarse when it is inflamed?"),
    "esophagus": ("Which tube carries food down to the stomach?", "What gets burnt by acid reflux?"),
    "parotid gland": ("Where does spit come from?", "Which gland swells in mumps?"),
    "mandible": ("Womit kaue ich?", "¿Con qué hueso mastico?"),
    "spinal cord": (
        "What carries messages from the brain to the arms and legs?",
        "What must not be overdosed, or the patient is paralysed?",
    ),
}

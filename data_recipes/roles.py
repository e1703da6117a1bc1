"""What structures are for and what befalls them, in the words of people who know no anatomy.

A role is a name of the ontology, what the structure does ("which ...", naming no other structure: replies say it, and name
nothing that they have not looked for), and cues: words, or runs of words, that a question
about it is likely to hold. A cue is compared as `assistant.glossary.normalise` has it; "*" ends a stem. English first,
then German, French, Spanish and Chinese stems where they differ. The facts are those of any textbook of neuroanatomy or of
head-and-neck anatomy; a cue may stand for several structures, and the question's other words then decide.
"""

# ruff: noqa: E501  (a table)
from __future__ import annotations

from assistant.glossary import Role

# name of the ontology, what it does, cues ("|"-separated)
_TABLE: tuple[tuple[str, str, str], ...] = (
    (
        "hippocampus", "forms new memories and shrinks early in Alzheimer's disease",
        "memor*|remember*|recall*|forget*|forgot*|amnesi*|short term|long term|learn new|learns new|spatial map*"
        "|find the way|sense of direction|finding the way|navigat*|place cells|alzheimer*|dementia"
        "|erinner*|gedachtnis*|vergess*|merken|souvenir*|memoire|oubli*|recuerd*|olvid*|demen*|记忆|记住|遗忘|阿尔茨海默|老年痴呆",
    ),
    (
        "amygdala", "processes fear",
        "fear*|afraid|scare*|fright*|anxi*|anger|angry|rage|aggress*|emotion*|threat*|danger|panic*|phobi*|terror"
        "|fight or flight|angst*|furcht*|gefuhl*|wut|peur*|emotion*|anxiete|colere|miedo*|ansiedad|emocion*|ira"
        "|恐惧|害怕|情绪|焦虑",
    ),
    (
        "brainstem", "controls breathing and heartbeat",
        "breath*|respirat*|heartbeat*|heart beat*|heart rate|heart|blood pressure|pulse|vital|automatic*|autopilot|alive|awake|awak*|asleep"
        "|wakeful*|conscious*|coma|cranial nerve*|vomit*|locked in|brain death|brain dead|joins the brain|connects the brain"
        "|atm*|atem*|herzschlag*|herz*|wach|respir*|battement*|coeur|corazon|latido*|despiert*|呼吸|心跳|清醒",
    ),
    (
        "cerebellum", "coordinates movement and balance",
        "balanc*|coordinat*|stagger*|clums*|gait|ataxi*|dizz*|unsteady|wobbl*|stumbl*|drunk*|alcohol|upright|fall over|falling over|fine tun*|bike|bicycle|muscle*"
        "|smooth movement*|posture|walk straight|gleichgewicht*|koordin*|gangunsicher*|schwindel|equilibre|coordonn*|equilibrio"
        "|coordina*|平衡|协调|走路不稳",
    ),
    (
        "thalamus", "relays the senses on their way to perception",
        "relay*|filter*|gateway|switchboard|pass on|passes on|passes|sensory|senses|sensation*|signals to the cortex|eyes and ears"
        "|to the cortex|sleep spindle*|central pain|sinne*|umschalt*|relais|sensoriel*|sentidos|sensorial*|中继|感觉",
    ),
    (
        "caudate nucleus", "takes part in goal-directed action and shrinks early in Huntington's disease",
        "huntington*|chorea*|habit*|goal*|gewohnheit*|habitude*|habito*|亨廷顿|习惯",
    ),
    (
        "putamen", "helps to regulate learned movements",
        "learned movement*|learnt movement*|motor skill*|hypertensive bleed*|hypertensive haemorrhag*|hypertensive hemorrhag*"
        "|high blood pressure|hypertens*|wilson s disease|motor part",
    ),
    (
        "pallidum", "is the main way out for the signals that steer movement",
        "output of the basal|dystoni*|carbon monoxide|deep brain stimulation|kernicterus|苍白",
    ),
    (
        "basal ganglia", "help to start and steer movements",
        "parkinson*|tremor*|start movement*|begin movement*|start a movement|movement disorder*|motor control|steer*|帕金森",
    ),
    (
        "nucleus accumbens", "drives reward and motivation",
        "reward*|pleasur*|addict*|motivat*|craving*|desire*|dopamin*|gambl*|belohn*|sucht*|lust|recompens*|plaisir*"
        "|dependance|placer*|adiccion*|奖赏|成瘾|快乐",
    ),
    (
        "ventral diencephalon", "contains the hypothalamus and the subthalamic nucleus",
        "hunger|hungry|thirst*|body temperature|hormone*|subthalamic|hypothalam*|durst|faim|soif|hambre|sed|饥饿|口渴|体温",
    ),
    (
        "cerebral cortex", "does conscious thought and voluntary planning",
        "think*|thought*|thinking|plan ahead|planning ahead|reasoning|decid*|decision*|intelligen*|conscious thought|language centre|language center|speech centre|speech center|solving problems|problem solving|math*|voluntary|personality|creativ*"
        "|folded|folds|wrinkl*|outer layer|outermost|denken|nachdenken|pensar|penser|pensee*|pensamiento*|reflechi*|planifi*|razon*|思考|思维|计划|语言",
    ),
    (
        "cerebral white matter", "carries the fibres that connect distant parts with one another",
        "wiring|wires|cables|cabling|fibre*|fiber*|axon*|myelin*|demyelin*|multiple sclerosis|tracts|connections between|connects the cortical"
        "|faser*|verkabel*|fibres|fibras|mielina|myeline|multiple sklerose|sclerose en plaques|esclerosis multiple"
        "|纤维|髓鞘|多发性硬化",
    ),
    (
        "lateral ventricle", "is the largest of the four fluid-filled chambers",
        "hydroceph*|hydrozephal*|water on the brain|fluid filled|fluid filled chamber*|choroid plexus"
        "|fluid made|fluid produced|makes the fluid|produces the fluid|hirnwasser|hidrocefal*|脑积水",
    ),
    (
        "third ventricle", "is the narrow one of the four fluid-filled chambers, in the midline",
        "between the thalami|between the two thalami|between both thalami|slit*",
    ),
    (
        "fourth ventricle", "is the lowest of the four fluid-filled chambers",
        "behind the pons|between the brainstem and the cerebellum|in front of the cerebellum",
    ),
    (
        "cerebrospinal fluid", "cushions what it surrounds",
        "cushion*|shock absor*|float*|spinal tap|lumbar puncture|surrounds the brain|bathes|protects the brain from|polster*",
    ),
    (
        "larynx", "makes the voice and lets the air through",
        "voice*|speak*|talk*|sing|sings|singing|hoarse*|hoarseness|vocal*|breathe|adam s apple|choking|sound*"
        "|stimme*|stimmband*|stimmlippen|sprechen|spreche|heiser*|singe*|voix|parl*|chant*|enrou*|voz|habl*|cantar|canto|ronc*|respir*|atm*"
        "|声音|说话|发声|嗓子|呼吸|嘶哑",
    ),
    (
        "esophagus", "carries down what is swallowed",
        "food*|swallow*|throat to the stomach|stomach|reflux|heartburn|acid*|swallowed|schluck*|nahrung*|essen"
        "|speise*|sodbrennen|magen|aval*|nourriture|manger|estomac|tragar|trago|comida|aliment*|estomago|吞咽|食物|反流|胃",
    ),
    (
        "parotid gland", "makes saliva in front of the ear",
        "saliva*|cheek*|spit|spittle|drool*|dry mouth|mump*|mouth wet|moist*|mouth moist|sjogren*|mouth water*|speichel*|spucke"
        "|mundtrocken*|mumps|salive*|crach*|oreillons|bouche seche|saliv*|escup*|paperas|boca seca|唾液|口水|口干|腮腺炎",
    ),
    (
        "mandible", "is the bone of the lower jaw and moves when we chew",
        "chew*|bite|bites|biting|lower teeth|jaw*|dentist*|kau*|beiss*|mord|morder|macher"
        "|mastic*|muerd*|咀嚼|咬",
    ),
    (
        "spinal cord", "carries signals to and from the limbs and the trunk",
        "paraly*|paraplegi*|tetraplegi*|quadriplegi*|nerve signal*|messages|signals between|arms and legs"
        "|myelopath*|myelitis|inside the spine|inside the vertebra*|vertebral canal|spinal canal|gelahmt|lahm*"
        "|querschnitt*|wirbelkanal|paralys*|moteurs|jambes|paraliz*|piernas|mensajes|瘫痪|信号|四肢",
    ),
    (
        "tumour", "is abnormal growing tissue",
        "not belong|t belong|should not be there|shouldn t be there|grows where|abnormal tissue|uncontrolled*|gehort nicht"
        "|不该",
    ),
)  # fmt: skip

ROLES = tuple(Role(name, does, tuple(dict.fromkeys(cues.split("|")))) for name, does, cues in _TABLE)

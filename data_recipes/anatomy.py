"""The table behind `ontology.py`: one row a structure, sides written once.

A row names a structure without its side. `en` and the other name fields are "|"-separated. Latin, German, French and
Spanish names carry their grammatical gender ("m", "f", "n") so that the side's adjective agrees with them: "f Amygdala"
gives "linke Amygdala", "m hippocampe" gives "hippocampe gauche". `functions` complete "the structure that ...".

Sources. Names: Terminologia Anatomica (2nd edition, FIPAT 2019) and common radiological usage. SNOMED CT codes: DICOM
PS3.16 CID 7153 (CNS) and the CIDs of chest, abdomen and pelvis. UBERON: the ontology's own ids. FreeSurfer numbers:
FreeSurferColorLUT. Volume ranges: see `RANGE_SOURCES`; they are what those scans measured, NOT clinical norms.
"""

# ruff: noqa: E501  (a table: one row a line reads better than a wrapped one)
from __future__ import annotations

from dataclasses import dataclass

from data_recipes.anatomy_body import FURTHER
from data_recipes.anatomy_row import Row

RANGE_SOURCES = {
    "aseg": "least and greatest volume over the 16 SynthSeg training label maps (adults, healthy and ageing); not a norm",
    "okbp": "5th to 95th percentile of the manual contours in 140 OpenKBP training cases; not a norm",
    "msd4": "least and greatest volume over 180 MSD Task04 training crops; not a norm",
    "ists": "least and greatest contoured volume over the IBSI soft-tissue-sarcoma training cases; not a norm",
}


TAUGHT: tuple[Row, ...] = (
    Row(
        "cerebral white matter", "brain", True,
        "white matter of the cerebrum|hemispheric white matter|cerebrum white matter|cerebral wm|white matter",
        "white matter of both hemispheres|hemispheric white matters",
        "f substantia alba cerebri|f substantia alba telencephali", "WM|CWM|cerebral WM",
        "f weiße Substanz des Großhirns|f Großhirn-Weißsubstanz|n Marklager|f weiße Substanz",
        "f substance blanche cérébrale|f substance blanche", "f sustancia blanca cerebral|f materia blanca cerebral"
        "|f sustancia blanca", "大脑白质|脑白质|白质",
        "carries the fibres that connect cortical areas|is made of the myelinated axons of the cerebrum",
        (2, 41), "68523003", "0002437", (150.0, 274.0, "aseg"),
    ),
    Row(
        "cerebral cortex", "brain", True,
        "cortex|cortical grey matter|cortical gray matter|cerebral grey matter|cerebral gray matter|cortical ribbon"
        "|cortical mantle|neocortex",
        "cerebral cortices|cortices", "m cortex cerebri|n pallium", "CTX|Cx|cortical GM|GM",
        "f Großhirnrinde|f Hirnrinde|m Kortex", "m cortex cérébral", "f corteza cerebral|m córtex cerebral",
        "大脑皮层|大脑皮质|皮质", "does conscious thought and voluntary planning|holds the language and sensory areas",
        (3, 42), "40146001", "0000956", (151.0, 306.0, "aseg"),
    ),
    Row(
        "lateral ventricle", "brain", True, "body of the lateral ventricle|cerebral lateral ventricle|side ventricle"
        "|lateral ventrical|lat ventricle", "lateral ventricles|lateral ventricals", "m ventriculus lateralis",
        "LatVent|lat vent|LV|VL", "m Seitenventrikel|m Lateralventrikel", "m ventricule latéral",
        "m ventrículo lateral", "侧脑室", "is the largest of the fluid-filled chambers of the brain"
        "|holds most of the fluid inside the brain", (4, 43), "66720007", "0002285", (2.7, 48.4, "aseg"),
    ),
    Row(
        "inferior lateral ventricle", "brain", True,
        "temporal horn|temporal horn of the lateral ventricle|inferior horn|inferior horn of the lateral ventricle"
        "|inf lat vent|inferior lateral ventrical", "inferior lateral ventricles|temporal horns|inferior horns",
        "n cornu temporale|n cornu inferius ventriculi lateralis", "ILV|InfLatVent|temp horn|IHLV",
        "n Temporalhorn|n Unterhorn des Seitenventrikels", "f corne temporale", "m asta temporal|m cuerno temporal",
        "侧脑室下角|侧脑室颞角", "is the fluid space beside the hippocampus|widens when the medial temporal lobe shrinks",
        (5, 44), "", "0006091", (0.02, 3.5, "aseg"),
    ),
    Row(
        "cerebellar white matter", "brain", True,
        "cerebellum white matter|white matter of the cerebellum|arbor vitae|cerebellar wm|cerebelar white matter",
        "cerebellar white matters", "f substantia alba cerebelli|m corpus medullare cerebelli", "CbWM|cerebellar WM",
        "f weiße Substanz des Kleinhirns|n Kleinhirnmark", "f substance blanche cérébelleuse",
        "f sustancia blanca cerebelosa", "小脑白质", "carries fibres to and from the cerebellar cortex"
        "|has the branching pattern called the tree of life", (7, 46), "33060004", "0002317", (11.4, 20.2, "aseg"),
    ),
    Row(
        "cerebellar cortex", "brain", True,
        "cerebellum cortex|cortex of the cerebellum|cerebellar grey matter|cerebellar gray matter|cerebellar ctx"
        "|cerebelar cortex", "cerebellar cortices", "m cortex cerebelli", "CbCx|CbCtx|cerebellar GM",
        "f Kleinhirnrinde|m Kleinhirnkortex", "m cortex cérébelleux", "f corteza cerebelosa", "小脑皮层|小脑皮质",
        "coordinates movement and balance|fine-tunes the timing of movements", (8, 47), "", "0002129",
        (42.1, 70.2, "aseg"),
    ),
    Row(
        "thalamus", "brain", True, "thalamus proper|thalamic nuclei|dorsal thalamus|thalamic nucleus|thalmus|talamus",
        "thalami|thalamuses", "m thalamus|m thalamus dorsalis", "TH|Thal|Tha|THA", "m Thalamus", "m thalamus",
        "m tálamo", "丘脑", "relays sensory signals to the cortex|is the relay station of the brain",
        (10, 49), "42695009", "0001897", (5.5, 10.6, "aseg"),
    ),
    Row(
        "caudate nucleus", "brain", True, "caudate|caudate body|head of the caudate|nucleus caudatus|caudat nucleus"
        "|caudate nuclues", "caudate nuclei|caudates", "m nucleus caudatus", "CN|Cau|Caud|NC",
        "m Nucleus caudatus|m Schweifkern", "m noyau caudé", "m núcleo caudado", "尾状核",
        "takes part in goal-directed action and habit learning|shrinks early in Huntington's disease",
        (11, 50), "11000004", "0001873", (2.4, 4.8, "aseg"),
    ),
    Row(
        "putamen", "brain", True, "putaminal nucleus|lateral part of the lentiform nucleus|outer lentiform nucleus"
        "|putamin|putaman", "putamina|putamens", "n putamen", "Put|PUT|PU", "n Putamen|m Schalenkern", "m putamen",
        "m putamen", "壳核", "helps to regulate learned movements|is the motor part of the striatum",
        (12, 51), "89278009", "0001874", (3.2, 6.8, "aseg"),
    ),
    Row(
        "pallidum", "brain", True, "globus pallidus|pale globe|pallidal nucleus|globus palidus|palidum",
        "pallida|globi pallidi|pallidums", "m globus pallidus|n pallidum", "GP|Pal|Pall|GPi/GPe",
        "n Pallidum|m Globus pallidus", "m pallidum|m globus pallidus", "m globo pálido|m pálido", "苍白球",
        "is the main output of the basal ganglia to the thalamus|is a target of deep brain stimulation for dystonia",
        (13, 52), "14738005", "0001875", (0.9, 2.1, "aseg"),
    ),
    Row(
        "hippocampus", "brain", True,
        "hippocampal formation|hippocampus proper|hippocampal grey matter|hippocampal gray matter|ammon's horn"
        "|seahorse of the brain|hipocampus|hippocampus region|hippocampous", "hippocampi|hippocampuses|hipocampi",
        "m hippocampus|n cornu ammonis|m hippocampus proprius", "HC|Hip|Hipp|hippo|HPC",
        "m Hippocampus|f Hippocampusformation|n Ammonshorn", "m hippocampe", "m hipocampo|f formación hipocampal",
        "海马|海马体|海马区", "forms new memories|turns short-term memories into long-term ones"
        "|shrinks early in Alzheimer's disease", (17, 53), "5366008", "0002421", (1.4, 5.3, "aseg"),
    ),
    Row(
        "amygdala", "brain", True, "amygdaloid body|amygdaloid complex|amygdaloid nuclei|amygdaloid nucleus|amigdala"
        "|amygdalla|almond of the brain", "amygdalae|amygdalas", "n corpus amygdaloideum|f amygdala", "AMY|Amyg|AMG|Am",
        "f Amygdala|m Mandelkern|m Corpus amygdaloideum", "f amygdale|m noyau amygdalien", "f amígdala", "杏仁核|杏仁体",
        "processes fear|handles fear and emotional memory", (18, 54), "4958002", "0001876", (0.7, 2.1, "aseg"),
    ),
    Row(
        "nucleus accumbens", "brain", True,
        "accumbens|accumbens area|accumbens nucleus|accumbens septi|nucleus acumbens", "nuclei accumbentes|accumbens areas",
        "m nucleus accumbens|m nucleus accumbens septi", "NAc|NAcc|Acb|Accu", "m Nucleus accumbens",
        "m noyau accumbens", "m núcleo accumbens", "伏隔核|伏核", "drives reward and motivation"
        "|is the reward centre of the ventral striatum", (26, 58), "427667007", "0001882", (0.2, 0.8, "aseg"),
    ),
    Row(
        "ventral diencephalon", "brain", True,
        "ventral dc|ventral diencephalic area|ventral diencephalon region|basal diencephalon|ventral diencephlon",
        "ventral diencephala|ventral dcs", "n diencephalon ventrale", "VDC|VentralDC|vDC|ventDC",
        "n ventrales Zwischenhirn", "m diencéphale ventral", "m diencéfalo ventral", "腹侧间脑|间脑腹侧",
        "contains the hypothalamus and the subthalamic nucleus|lies just under the thalamus", (28, 60), "", "",
        (2.7, 5.3, "aseg"),
    ),
    Row(
        "third ventricle", "brain", False, "3rd ventricle|ventricle iii|midline ventricle between the thalami"
        "|third ventrical|3d ventricle", "", "m ventriculus tertius", "V3|3V|3rd vent|III ventricle",
        "m dritter Ventrikel|m dritte Ventrikel|m 3. Ventrikel", "m troisième ventricule", "m tercer ventrículo",
        "第三脑室", "is the narrow fluid space between the two thalami|lies in the midline between the thalami",
        (14,), "49841001", "0002286", (0.4, 3.6, "aseg"),
    ),
    Row(
        "fourth ventricle", "brain", False, "4th ventricle|ventricle iv|ventricle behind the pons|fourth ventrical",
        "", "m ventriculus quartus", "V4|4V|4th vent|IV ventricle", "m vierter Ventrikel|m vierte Ventrikel|m 4. Ventrikel",
        "m quatrième ventricule", "m cuarto ventrículo", "第四脑室",
        "is the fluid space between the brainstem and the cerebellum|lies behind the pons",
        (15,), "35918002", "0002422", (0.7, 2.7, "aseg"),
    ),
    Row(
        "brainstem", "brain|head_neck", False, "brain stem|brain-stem|stem of the brain|midbrain pons and medulla"
        "|brainstam|brain stam", "", "m truncus encephali|m truncus encephalicus", "BS|Bstem|BrStem|brstm",
        "m Hirnstamm|m Stammhirn", "m tronc cérébral", "m tronco encefálico|m tallo cerebral|m tronco cerebral", "脑干",
        "controls breathing and heartbeat|joins the brain to the spinal cord", (16,), "119238007", "0002298",
        (15.5, 25.4, "aseg"),
    ),
    Row(
        "cerebrospinal fluid", "brain", False, "cerebro-spinal fluid|spinal fluid around the brain|subarachnoid csf"
        "|extra-axial csf|fluid around the brain|liquor|cerebrospinal fluit", "", "m liquor cerebrospinalis",
        "CSF|LCR|LCS", "m Liquor|f Hirnflüssigkeit|m Liquor cerebrospinalis", "m liquide céphalorachidien|m liquide cérébrospinal",
        "m líquido cefalorraquídeo", "脑脊液", "cushions the brain|is the clear fluid that surrounds the brain",
        (24,), "65216001", "0001359", (258.0, 551.0, "aseg"),
    ),
    Row(
        "brain", "brain", False, "whole brain|entire brain|encephalon|brain parenchyma|intracranial brain tissue|brian",
        "", "n encephalon|n cerebrum", "BRN|brain mask|encephalon", "n Gehirn|n Hirn", "m cerveau|m encéphale", "m cerebro|m encéfalo",
        "大脑|全脑|脑|脑部", "is the organ of the mind|fills the skull", (), "12738006", "0000955", None,
    ),
    Row(
        "spinal cord", "head_neck", False, "cord|cervical cord|cervical spinal cord|spinal medulla|myelon|spinal chord"
        "|spinalcord", "", "f medulla spinalis", "SC|SpC|cord|s. cord", "n Rückenmark|n Myelon", "f moelle épinière|f moelle",
        "f médula espinal", "脊髓", "carries signals between the brain and the body|must be spared from dose in the neck",
        (), "2748008", "0002240", (10.0, 45.0, "okbp"),
    ),
    Row(
        "parotid gland", "head_neck", True, "parotid|parotid salivary gland|parotis|parotid galnd|parotoid gland",
        "parotid glands|parotids|parotides", "f glandula parotidea|f glandula parotis", "PG|Par|Parotid|PRTD",
        "f Ohrspeicheldrüse|f Parotis|f Glandula parotis", "f glande parotide|f parotide", "f glándula parótida|f parótida",
        "腮腺", "is the largest salivary gland|makes saliva in front of the ear", (), "45289007", "0001831",
        (13.0, 45.0, "okbp"),
    ),
    Row(
        "esophagus", "head_neck", False, "oesophagus|gullet|food pipe|foodpipe|esophageal tube|cervical esophagus"
        "|esophagous|oesofagus", "", "m oesophagus", "ESO|Esoph|Oes|OES", "f Speiseröhre|m Ösophagus", "m œsophage|m oesophage",
        "m esófago", "食管|食道", "carries food to the stomach|lies behind the windpipe", (), "32849002", "0001043",
        (5.0, 30.0, "okbp"),
    ),
    Row(
        "larynx", "head_neck", False, "voice box|voicebox|laryngeal box|glottic larynx|larnyx|larinx", "", "m larynx",
        "LX|Lar|Lrx|LARX", "m Kehlkopf|m Larynx", "m larynx", "f laringe", "喉|喉部|喉头", "makes the voice|holds the vocal cords",
        (), "4596009", "0001737", (5.0, 50.0, "okbp"),
    ),
    Row(
        "mandible", "head_neck", False, "lower jaw|jawbone|lower jaw bone|jaw bone|inferior maxilla|jaw|mandibel|mandable",
        "", "f mandibula", "MND|Mand|MDB|Md", "m Unterkiefer|f Mandibula|m Unterkieferknochen", "f mandibule|f mâchoire inférieure",
        "f mandíbula|m maxilar inferior", "下颌骨|下颌", "is the bone of the lower jaw|moves when we chew",
        (), "91609006", "0001684", (40.0, 95.0, "okbp"),
    ),
    Row(
        "hippocampus", "hippocampus", False, "hippocampal formation|whole hippocampus|entire hippocampus|ammon's horn"
        "|hippocampus proper|hipocampus|hippocampal grey matter|hippocampal gray matter|hippocampous", "",
        "m hippocampus|n cornu ammonis", "HC|Hip|Hipp|hippo|HPC", "m Hippocampus|n Ammonshorn", "m hippocampe", "m hipocampo",
        "海马|海马体", "forms new memories|turns short-term memories into long-term ones", (), "5366008", "0002421",
        (2.0, 4.6, "msd4"),
    ),
    Row(
        "anterior hippocampus", "hippocampus", False, "hippocampal head|head of the hippocampus|pes hippocampi"
        "|front of the hippocampus|anterior part of the hippocampus|rostral hippocampus|anterior hipocampus", "",
        "n caput hippocampi|m pes hippocampi", "aHC|aHip|HH|ant hipp|HC head", "m Hippocampuskopf|m vorderer Hippocampus",
        "f tête de l'hippocampe|m hippocampe antérieur", "f cabeza del hipocampo|m hipocampo anterior", "海马头|海马前部|前海马",
        "is the head of the hippocampus|is the part of the hippocampus next to the amygdala", (), "", "",
        (1.0, 2.5, "msd4"),
    ),
    Row(
        "posterior hippocampus", "hippocampus", False, "hippocampal tail|hippocampal body and tail|tail of the hippocampus"
        "|body and tail of the hippocampus|back of the hippocampus|posterior part of the hippocampus|caudal hippocampus"
        "|posterior hipocampus", "", "f cauda hippocampi|n corpus hippocampi et cauda", "pHC|pHip|HT|post hipp|HC tail",
        "m Hippocampusschwanz|m hinterer Hippocampus", "f queue de l'hippocampe|m hippocampe postérieur",
        "f cola del hipocampo|m hipocampo posterior", "海马尾|海马后部|后海马",
        "is the body and tail of the hippocampus|is the back part of the hippocampus, important for spatial memory",
        (), "", "", (0.9, 2.2, "msd4"),
    ),
    Row(
        "tumour", "tumour", False,
        "tumor|mass|lesion|neoplasm|sarcoma|soft tissue sarcoma|soft-tissue sarcoma|gross tumour volume|gross tumor volume"
        "|growth|malignancy|cancer|malignant mass|tumuor|tumer", "", "m tumor|f neoplasia", "GTV|STS|Tu|Tm",
        "m Tumor|f Raumforderung|f Geschwulst|m Gewebetumor", "f tumeur|f masse tumorale", "m tumor|f masa tumoral|f neoplasia",
        "肿瘤|肿块|病灶|瘤", "is abnormal growing tissue|grows where it should not", (), "", "", (17.1, 1530.0, "ists"),
    ),
)

# Named, never taught as masks: requests for them ground the name and the note says "not found".
UNTAUGHT: tuple[Row, ...] = (
    Row("liver", "abdomen", False, "hepar|hepatic tissue", "", "n hepar|n jecur", "LIV", "f Leber", "m foie", "m hígado", "肝脏|肝", "makes bile", (), "10200004", "0002107"),
    Row("spleen", "abdomen", False, "splenic tissue", "", "m lien|m splen", "SPL", "f Milz", "f rate", "m bazo", "脾|脾脏", "filters old red blood cells", (), "78961009", "0002106"),
    Row("kidney", "abdomen", True, "renal organ", "kidneys", "m ren", "KID", "f Niere", "m rein", "m riñón", "肾|肾脏", "makes urine", (), "64033007", "0002113"),
    Row("pancreas", "abdomen", False, "pancreatic gland", "", "n pancreas", "PAN", "f Bauchspeicheldrüse|n Pankreas", "m pancréas", "m páncreas", "胰腺|胰", "makes insulin", (), "15776009", "0001264"),
    Row("gallbladder", "abdomen", False, "gall bladder|cholecyst", "", "f vesica biliaris|f vesica fellea", "GB", "f Gallenblase", "f vésicule biliaire", "f vesícula biliar", "胆囊", "stores bile", (), "28231008", "0002110"),
    Row("stomach", "abdomen", False, "gaster|gastric body", "", "m gaster|m ventriculus", "STO", "m Magen", "m estomac", "m estómago", "胃", "churns food with acid", (), "69695003", "0000945"),
    Row("duodenum", "abdomen", False, "first part of the small bowel", "", "n duodenum", "DUO", "m Zwölffingerdarm|n Duodenum", "m duodénum", "m duodeno", "十二指肠", "receives bile from the gallbladder", (), "38848004", "0002114"),
    Row("small bowel", "abdomen", False, "small intestine|small gut", "", "n intestinum tenue", "SB", "m Dünndarm", "m intestin grêle|m grêle", "m intestino delgado", "小肠", "absorbs nutrients", (), "30315005", "0002108"),
    Row("colon", "abdomen", False, "large bowel|large intestine", "", "n colon|n intestinum crassum", "COL", "m Dickdarm|n Kolon", "m côlon", "m colon|m intestino grueso", "结肠|大肠", "takes water out of stool", (), "71854001", "0001155"),
    Row("adrenal gland", "abdomen", True, "adrenal|suprarenal gland", "adrenal glands|adrenals", "f glandula suprarenalis", "AG|ADR", "f Nebenniere", "f glande surrénale|f surrénale", "f glándula suprarrenal", "肾上腺", "makes cortisol", (), "23451007", "0002369"),
    Row("urinary bladder", "pelvis", False, "bladder", "", "f vesica urinaria", "BLA|UB", "f Harnblase|f Blase", "f vessie", "f vejiga urinaria|f vejiga", "膀胱", "stores urine", (), "89837001", "0001255"),
    Row("prostate", "pelvis", False, "prostate gland|prostrate", "", "f prostata", "PROS", "f Prostata|f Vorsteherdrüse", "f prostate", "f próstata", "前列腺", "makes part of the seminal fluid", (), "41216001", "0002367"),
    Row("uterus", "pelvis", False, "womb", "", "m uterus", "UT", "f Gebärmutter|m Uterus", "m utérus", "m útero", "子宫", "carries a pregnancy", (), "35039007", "0000995"),
    Row("femur", "pelvis", True, "thigh bone|femoral head", "femurs|femora", "n femur|n os femoris", "FEM", "m Oberschenkelknochen|m Femur", "m fémur", "m fémur", "股骨", "is the bone of the thigh", (), "71341001", "0000981"),
    Row("pelvis", "pelvis", False, "pelvic bone|hip bones|bony pelvis", "", "f pelvis", "PEL", "n Becken", "m bassin", "f pelvis", "骨盆|盆骨", "carries the weight of the trunk", (), "", "0001270"),
    Row("heart", "thorax", False, "cardiac muscle|cardiac silhouette", "", "n cor", "HRT", "n Herz", "m cœur|m coeur", "m corazón", "心脏|心", "pumps blood", (), "80891009", "0000948"),
    Row("lung", "thorax", True, "pulmo|pulmonary lobe", "lungs", "m pulmo", "LNG", "f Lunge|m Lungenflügel", "m poumon", "m pulmón", "肺", "takes in oxygen", (), "39607008", "0002048"),
    Row("aorta", "thorax", False, "aortic arch|main artery", "", "f aorta", "AO", "f Aorta|f Hauptschlagader", "f aorte", "f aorta", "主动脉", "is the largest artery", (), "15825003", "0000947"),
    Row("trachea", "neck", False, "windpipe|wind pipe", "", "f trachea", "TRA", "f Luftröhre|f Trachea", "f trachée", "f tráquea", "气管", "carries air to the lungs", (), "44567001", "0003126"),
    Row("thyroid gland", "neck", False, "thyroid|thyriod", "", "f glandula thyroidea", "THY", "f Schilddrüse", "f thyroïde|f glande thyroïde", "f tiroides|f glándula tiroides", "甲状腺", "makes thyroid hormone", (), "69748006", "0002046"),
    Row("eye", "head", True, "eyeball|globe of the eye|orbit globe", "eyes|eyeballs", "m oculus|m bulbus oculi", "EB", "n Auge", "m œil", "m ojo", "眼睛|眼球|眼", "sees", (), "81745001", "0000970"),
    Row("pituitary gland", "head", False, "pituitary|hypophysis", "", "f hypophysis|f glandula pituitaria", "PIT", "f Hypophyse|f Hirnanhangdrüse", "f hypophyse|f glande pituitaire", "f hipófisis|f glándula pituitaria", "垂体|脑垂体", "is the master hormone gland", (), "56329008", "0000007"),
    *FURTHER,
)


@dataclass(frozen=True)
class Group:
    """A word for several structures, such as "basal ganglia"; `bases` in the order a reply takes them."""

    name: str
    families: tuple[str, ...]
    synonyms: tuple[str, ...]
    bases: tuple[str, ...]


GROUPS: tuple[Group, ...] = (
    Group(
        "deep grey nuclei", ("brain",),
        ("deep gray nuclei", "deep grey matter", "deep gray matter", "deep nuclei", "subcortical grey nuclei",
         "subcortical gray nuclei", "subcortical nuclei", "subcortical grey matter", "deep gray structures"),
        ("thalamus", "caudate nucleus", "putamen", "pallidum", "nucleus accumbens"),
    ),
    Group(
        "basal ganglia", ("brain",), ("basal nuclei", "nuclei basales", "basalganglien", "ganglios basales", "基底节"),
        ("caudate nucleus", "putamen", "pallidum", "nucleus accumbens"),
    ),
    Group("striatum", ("brain",), ("neostriatum", "striate nucleus", "corpus striatum", "dorsal striatum", "纹状体"),
          ("caudate nucleus", "putamen")),
    Group("lentiform nucleus", ("brain",), ("lenticular nucleus", "nucleus lentiformis", "豆状核"), ("putamen", "pallidum")),
    Group("medial temporal structures", ("brain",),
          ("medial temporal lobe structures", "mesial temporal structures", "limbic structures", "amygdala and hippocampus",
           "hippocampus and amygdala", "amygdalohippocampal complex"), ("hippocampus", "amygdala")),
    Group("ventricles", ("brain",),
          ("ventricular system", "all ventricles", "brain ventricles", "cerebral ventricles", "ventrikel", "hirnventrikel",
           "ventricules", "ventricules cérébraux", "ventrículos", "ventrículos cerebrales", "脑室"),
          ("lateral ventricle", "inferior lateral ventricle", "third ventricle", "fourth ventricle")),
    Group("both lateral ventricles", ("brain",), ("ventricules latéraux", "ventrículos laterales"), ("lateral ventricle",)),
    Group("cerebellum", ("brain",), ("cerebellar hemispheres", "cerebellar hemisphere", "little brain", "kleinhirn", "cervelet",
          "cerebelo", "小脑", "cerebelum"), ("cerebellar white matter", "cerebellar cortex")),
    Group("cerebrum", ("brain",), ("cerebral hemispheres", "cerebral hemisphere", "telencephalon", "grosshirn"),
          ("cerebral white matter", "cerebral cortex")),
    Group("salivary glands", ("head_neck",), ("major salivary glands", "saliva glands"), ("parotid gland",)),
    Group("swallowing organs", ("head_neck",), ("swallowing structures",), ("larynx", "esophagus")),
    Group("hippocampal subregions", ("hippocampus",),
          ("hippocampal parts", "parts of the hippocampus", "hippocampal segments", "hippocampus subregions", "both hippocampal parts",
           "head and tail of the hippocampus"), ("anterior hippocampus", "posterior hippocampus")),
)  # fmt: skip

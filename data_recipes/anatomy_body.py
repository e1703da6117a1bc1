"""More rows of the table in `anatomy.py`: structures that public data sets outline and the embedded model does not know.

They are named in questions and in the masks of recipes. No conversation asks for them as something that a scan cannot
show: their families ("body", "heart", "prostate", "brain_tumour") are none of those that `ontology.surely_absent`
draws from. A name that would take a word away from a taught structure is left out: "brain tumour", "L1", or "left
ventricle", which in a brain is the lateral one. Names in other languages stand only where they are in common use.
"""

# ruff: noqa: E501  (a table: one row a line reads better than a wrapped one)
from __future__ import annotations

from data_recipes.anatomy_row import Row

VERTEBRAE = tuple(
    [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 14)] + [f"L{n}" for n in range(1, 7)] + ["S1"]
)
_REGION = {
    "C": ("cervical", "Halswirbel", "第{}颈椎"),
    "T": ("thoracic", "Brustwirbel", "第{}胸椎"),
    "L": ("lumbar", "Lendenwirbel", "第{}腰椎"),
    "S": ("sacral", "Kreuzbeinwirbel", "第{}骶椎"),
}


def _vertebra(name: str) -> Row:
    region, german, chinese = _REGION[name[0]]
    number = name[1:]
    return Row(
        f"vertebra {name}", "body", False, f"{name} vertebra|vertebrae {name}|{region} vertebra {number}", "", "", "",
        f"m {number}. {german}", f"f vertèbre {name}", f"f vértebra {name}", chinese.format(number),
    )  # fmt: skip


def _rib(number: int) -> Row:
    return Row(
        f"rib {number}", "body", True, f"rib number {number}", f"ribs {number}", "", "", f"f {number}. Rippe", "", "", f"第{number}肋骨"
    )  # fmt: skip


FURTHER: tuple[Row, ...] = (
    # chest
    Row("upper lung lobe", "body", True, "upper lobe of the lung|lung upper lobe|upper lobe", "upper lung lobes", "m lobus superior pulmonis", "", "m Lungenoberlappen|m Oberlappen", "m lobe pulmonaire supérieur", "m lóbulo pulmonar superior", "肺上叶"),
    Row("middle lung lobe", "body", False, "middle lobe of the lung|lung middle lobe|middle lobe|right middle lobe", "", "m lobus medius pulmonis dextri", "", "m Lungenmittellappen|m Mittellappen", "m lobe pulmonaire moyen", "m lóbulo pulmonar medio", "右肺中叶"),
    Row("lower lung lobe", "body", True, "lower lobe of the lung|lung lower lobe|lower lobe", "lower lung lobes", "m lobus inferior pulmonis", "", "m Lungenunterlappen|m Unterlappen", "m lobe pulmonaire inférieur", "m lóbulo pulmonar inferior", "肺下叶"),
    Row("left atrium", "heart", False, "left heart atrium|left atrial cavity", "", "n atrium sinistrum", "", "m linker Vorhof", "f oreillette gauche", "f aurícula izquierda", "左心房", "receives blood from the lungs"),
    Row("right atrium", "heart", False, "right heart atrium|right atrial cavity", "", "n atrium dextrum", "", "m rechter Vorhof", "f oreillette droite", "f aurícula derecha", "右心房", "receives blood from the body"),
    Row("left ventricle of the heart", "heart", False, "left cardiac ventricle|left ventricular cavity|left ventricular blood pool", "", "m ventriculus cordis sinister", "", "f linke Herzkammer", "m ventricule gauche du cœur", "m ventrículo izquierdo del corazón", "左心室", "pumps blood into the aorta"),
    Row("right ventricle of the heart", "heart", False, "right cardiac ventricle|right ventricular cavity|right ventricular blood pool", "", "m ventriculus cordis dexter", "", "f rechte Herzkammer", "m ventricule droit du cœur", "m ventrículo derecho del corazón", "右心室", "pumps blood into the lungs"),
    Row("left ventricular myocardium", "heart", False, "myocardium of the left ventricle|myocardium", "", "n myocardium ventriculi sinistri", "", "n linksventrikuläres Myokard", "m myocarde du ventricule gauche", "m miocardio del ventrículo izquierdo", "左心室心肌"),
    Row("left atrial appendage", "heart", False, "atrial appendage", "", "f auricula sinistra", "LAA", "n linkes Herzohr", "m auricule gauche", "f orejuela izquierda", "左心耳"),
    Row("ascending aorta", "heart", False, "aorta ascendens", "", "f pars ascendens aortae", "", "f aufsteigende Aorta", "f aorte ascendante", "f aorta ascendente", "升主动脉"),
    Row("pulmonary artery", "heart", False, "pulmonary trunk|arteria pulmonalis", "pulmonary arteries", "m truncus pulmonalis", "", "f Lungenarterie|f Pulmonalarterie", "f artère pulmonaire", "f arteria pulmonar", "肺动脉"),
    Row("pulmonary veins", "body", False, "pulmonary vein", "", "f venae pulmonales", "", "f Lungenvenen|f Pulmonalvenen", "f veines pulmonaires", "f venas pulmonares", "肺静脉"),
    Row("superior vena cava", "body", False, "precava", "", "f vena cava superior", "SVC", "f obere Hohlvene", "f veine cave supérieure", "f vena cava superior", "上腔静脉"),
    Row("inferior vena cava", "body", False, "postcava", "", "f vena cava inferior", "IVC", "f untere Hohlvene", "f veine cave inférieure", "f vena cava inferior", "下腔静脉"),
    Row("brachiocephalic trunk", "body", False, "innominate artery|brachiocephalic artery", "", "m truncus brachiocephalicus", "", "", "m tronc brachiocéphalique", "m tronco braquiocefálico", "头臂干"),
    Row("brachiocephalic vein", "body", True, "innominate vein", "brachiocephalic veins", "f vena brachiocephalica", "", "", "f veine brachiocéphalique", "f vena braquiocefálica", "头臂静脉"),
    Row("subclavian artery", "body", True, "subclavian", "subclavian arteries", "f arteria subclavia", "", "", "f artère sous-clavière", "f arteria subclavia", "锁骨下动脉"),
    Row("common carotid artery", "body", True, "common carotid|carotis communis", "common carotid arteries", "f arteria carotis communis", "", "f Halsschlagader", "f artère carotide commune", "f arteria carótida común", "颈总动脉"),
    # belly
    Row("pair of kidneys", "body", False, "kidneys taken together"),
    Row("pair of adrenal glands", "body", False, "adrenal glands taken together"),
    Row("kidney cyst", "body", True, "renal cyst", "kidney cysts", "", "", "f Nierenzyste", "m kyste rénal", "m quiste renal", "肾囊肿"),
    Row("cyst of the kidney", "body", False, "renal cyst of either side"),
    Row("portal and splenic veins", "body", False, "portal vein and splenic vein|portal and splenic vein|portal vein & splenic vein", "", "", "", "", "", "", "门静脉和脾静脉"),
    Row("hepatic vessels", "body", False, "hepatic vessel|liver vessels|liver vessel", "", "", "", "f Lebergefäße", "m vaisseaux hépatiques", "m vasos hepáticos", "肝血管"),
    Row("celiac trunk", "body", False, "coeliac trunk|celiac artery|coeliac artery", "", "m truncus coeliacus", "", "", "m tronc cœliaque", "m tronco celíaco", "腹腔干"),
    Row("iliac artery", "body", True, "arteria iliaca", "iliac arteries", "f arteria iliaca", "", "f Beckenarterie", "f artère iliaque", "f arteria ilíaca", "髂动脉"),
    Row("iliac vein", "body", True, "iliac vena", "iliac veins", "f vena iliaca", "", "f Beckenvene", "f veine iliaque", "f vena ilíaca", "髂静脉"),
    Row("rectum", "body", False, "straight gut", "", "n rectum", "", "m Mastdarm|n Rektum", "m rectum", "m recto", "直肠"),
    # what grows where it should not
    Row("liver tumour", "body", False, "liver tumor|hepatic tumour|hepatic tumor|liver cancer", "", "", "", "m Lebertumor", "f tumeur du foie", "m tumor hepático", "肝肿瘤"),
    Row("kidney tumour", "body", False, "kidney tumor|renal tumour|renal tumor|kidney cancer", "", "", "", "m Nierentumor", "f tumeur du rein", "m tumor renal", "肾肿瘤"),
    Row("pancreatic tumour", "body", False, "pancreatic tumor|pancreas tumour|pancreas tumor|pancreatic cancer", "", "", "", "m Pankreastumor", "f tumeur du pancréas", "m tumor pancreático", "胰腺肿瘤"),
    Row("lung tumour", "body", False, "lung tumor|pulmonary tumour|pulmonary tumor|lung cancer", "", "", "", "m Lungentumor", "f tumeur du poumon", "m tumor pulmonar", "肺肿瘤"),
    Row("colon tumour", "body", False, "colon tumor|colon cancer|colorectal cancer", "", "", "", "m Dickdarmtumor", "f tumeur du côlon", "m tumor de colon", "结肠肿瘤"),
    Row("tumour core", "brain_tumour", False, "tumor core"),
    Row("enhancing tumour tissue", "brain_tumour", False, "enhancing tumor tissue|contrast-enhancing tumour tissue"),
    Row("non-enhancing tumour core", "brain_tumour", False, "non-enhancing tumor core|necrotic tumour core|necrotic tumor core"),
    Row("peritumoural oedema", "brain_tumour", False, "peritumoral edema|peritumoural edema|peritumoral oedema|edema around the tumour", "", "", "", "n peritumorales Ödem", "m œdème péritumoral", "m edema peritumoral", "瘤周水肿"),
    Row("resection cavity", "brain_tumour", False, "surgical cavity", "", "", "", "f Resektionshöhle", "f cavité de résection", "f cavidad de resección", "手术残腔"),
    Row("stroke lesion", "brain_tumour", False, "ischaemic infarct|ischemic infarct|cerebral infarct|infarct core", "", "", "", "m Hirninfarkt", "m infarctus cérébral", "m infarto cerebral", "脑梗死"),
    # prostate
    Row("peripheral zone of the prostate", "prostate", False, "prostate peripheral zone|peripheral zone", "", "", "", "f periphere Zone der Prostata", "f zone périphérique de la prostate", "f zona periférica de la próstata", "前列腺外周带"),
    Row("transition zone of the prostate", "prostate", False, "prostate transition zone|transition zone", "", "", "", "f Transitionszone der Prostata", "f zone de transition de la prostate", "f zona de transición de la próstata", "前列腺移行带"),
    Row("prostate cancer", "prostate", False, "prostate tumour|prostate tumor|prostate carcinoma", "", "", "", "n Prostatakarzinom|m Prostatakrebs", "m cancer de la prostate", "m cáncer de próstata", "前列腺癌"),
    # bones
    Row("skull", "body", False, "cranial bones", "", "n cranium", "", "m Schädel", "m crâne", "m cráneo", "颅骨"),
    Row("sternum", "body", False, "breastbone|breast bone", "", "n sternum", "", "n Brustbein|n Sternum", "m sternum", "m esternón", "胸骨"),
    Row("costal cartilages", "body", False, "costal cartilage|rib cartilage", "", "f cartilagines costales", "", "m Rippenknorpel", "m cartilages costaux", "m cartílagos costales", "肋软骨"),
    Row("clavicle", "body", True, "collarbone|collar bone|clavicula", "clavicles", "f clavicula", "", "n Schlüsselbein", "f clavicule", "f clavícula", "锁骨"),
    Row("scapula", "body", True, "shoulder blade", "scapulae", "f scapula", "", "n Schulterblatt", "f scapula|f omoplate", "f escápula", "肩胛骨"),
    Row("humerus", "body", True, "upper arm bone", "humeri", "m humerus", "", "m Oberarmknochen", "m humérus", "m húmero", "肱骨"),
    Row("hip bone", "body", True, "innominate bone|coxal bone", "coxal bones", "n os coxae", "", "n Hüftbein", "m os coxal", "m hueso coxal", "髋骨"),
    Row("head of the femur", "body", True, "femur head", "heads of the femurs", "n caput femoris", "", "m Femurkopf|m Hüftkopf", "f tête fémorale", "f cabeza del fémur", "股骨头"),
    Row("sacrum", "body", False, "sacral bone", "", "n os sacrum", "", "n Kreuzbein", "m sacrum", "m sacro", "骶骨"),
    Row("coccyx", "body", False, "tailbone|tail bone", "", "n os coccygis", "", "n Steißbein", "m coccyx", "m cóccix", "尾骨"),
    Row("vertebrae", "body", False, "all vertebrae|vertebral column", "", "f columna vertebralis", "", "f Wirbelsäule", "f colonne vertébrale", "f columna vertebral", "脊柱"),
    Row("intervertebral discs", "body", False, "intervertebral disc|intervertebral disks|spinal discs", "", "m disci intervertebrales", "", "f Bandscheiben", "m disques intervertébraux", "m discos intervertebrales", "椎间盘"),
    *(_vertebra(name) for name in VERTEBRAE),
    *(_rib(number) for number in range(1, 13)),
    # muscles
    Row("gluteus maximus", "body", True, "gluteus maximus muscle", "", "m musculus gluteus maximus", "", "", "m grand fessier", "m glúteo mayor", "臀大肌"),
    Row("gluteus medius", "body", True, "gluteus medius muscle", "", "m musculus gluteus medius", "", "", "m moyen fessier", "m glúteo medio", "臀中肌"),
    Row("gluteus minimus", "body", True, "gluteus minimus muscle", "", "m musculus gluteus minimus", "", "", "m petit fessier", "m glúteo menor", "臀小肌"),
    Row("autochthonous back muscle", "body", True, "autochthon|deep back muscle|erector spinae", "autochthonous back muscles", "", "", "f autochthone Rückenmuskulatur", "", "", "竖脊肌"),
    Row("iliopsoas muscle", "body", True, "iliopsoas", "iliopsoas muscles", "m musculus iliopsoas", "", "", "m muscle ilio-psoas", "m músculo iliopsoas", "髂腰肌"),
)

"""Whether a question asks for the amount of a pesticide, in eight languages, and whether a passage gives it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import regex

from agri_llm import quantities, sentences
from agri_llm.content import content_words, folded, stem, stems
from agri_llm.questions import Understood
from agri_llm.records import Hit, Passage

_PESTICIDE = r"(?:spray|(?:pest|insect|herb|fung)icide|chemical|medicine|poison|weed ?killer)"
_DOSE = regex.compile(
    r"\b(?:ml|millilit\w+|cc|grams?|gm|g|lit(?:re|er)s?|dose|dosage|dilut\w+)\b"
    r"|\b(?:per|an?|each|lit(?:re|er)|l)[ -](?:\w+ )?(?:tank|knapsack|pump|sprayer)\b|\b(?:rate|concentration) (?:of|for)\b"
    rf"|\bhow (?:much|many)(?: (?:of|the|this|my|bottles?|caps?|cups?|spoons?|sachets?|bags?|packets?))* {_PESTICIDE}"
    r"|\bhow much\b(?! (?:does|do|is|are)\b).{1,40}\b(?:per|an?) (?:hectare|acre|ha|bag)\b"
    r"|毫升|克|剂量|稀释|倍|浓度|兑水|农药|喷多少|[桶壶]|一亩地?用?(?:多少|几)|[瓶袋勺包]",
    regex.IGNORECASE,
)
# The same in other languages: units, tanks, doses, and words for pesticides; without accents.
_ROMANCE_DOSE = (
    r"\b(?:dosis|dosific\w+|dosage|dosagem|mililitros?|millilitres?|gramos?|grammes?|gramas?|litros?|litres?|dilu\w+"
    r"|concentra\w+)\b"
)
_DOSE_ELSEWHERE = regex.compile(
    folded(
        rf"{_ROMANCE_DOSE}"
        r"|\b(?:bomba|mochila|bidon|tanque|tambor|aspersora|pulverizador\w*|pulverisateur|cuve|cuchara\w*|tapas?"
        r"|bouchons?|colher\w*)\b"
        r"|\b(?:plaguicidas?|pesticidas?|insecticid\w+|inseticidas?|fungicidas?|fongicides?|herbicid\w+|venenos?"
        r"|agrotoxicos?|produits?)\b"
        r"|मात्रा|डोज|खुराक|मिली|एमएल|ग्राम|लीटर|लिटर|टंकी|पंप|ढक्कन|चम्मच|दवा|घोल|सांद्रता|कीटनाश|फफूंदनाश|शाकनाश"
        r"|\b(?:kipimo|vipimo|dozi|mililita|gramu|lita|bomba|pampu|tanki|kijiko|vijiko|kifuniko|dawa|sumu|ki?uatilifu"
        r"|viuatilifu)\b"
        r"|جرعه|تركيز|معدل|مليلتر|مللي|ملي|سم مكعب|غرام|جرام|غم|لتر(?!ب)|ليتر|خزان|رشاش|ملعقه|مبيد|دواء|تخفيف"
    ),
    regex.IGNORECASE,
)
_NOT_PESTICIDE = regex.compile(
    r"\b(?:water|irrigat\w*|lime|gypsum|compost|manure|dung|fertili[sz]ers?|urea|dap|npk|seeds?|moisture|mulch|potash"
    r"|milk|nitrogen"
    r"|phosph(?:orus|ate)|potassium|zinc|boron|yields?|feed|costs?|prices?|hold)\b"
    r"|水(?![稻田蜜果旱])|石灰|堆肥|肥|种子|尿素|磷酸二铵|硫酸锌|硼砂|草木灰|石膏|粪",
    regex.IGNORECASE,
)
_NOT_PESTICIDE_ELSEWHERE = regex.compile(
    folded(
        r"\b(?:agua|eau|semillas?|semences?|graines?|sementes?|abono|estiercol|engrais|fumier|adubo|esterco|calcario"
        r"|chaux|urea|uree|ureia"
        r"|yeso|riego|arrosage)\b|\bcal\b|पानी|बीज|खाद|उर्वरक|यूरिया|चूना|गोबर|सिंचाई|\b(?:maji|mbegu|mbolea|samadi"
        r"|chokaa|mboji)\b"
        r"|(?<!\p{L})(?:ال|ب|من ال)?(?:ماء|مياه|بذور|تقاوي|سماد|اسمده|يوريا|جير|ري|سقي)(?!\p{L})"
    ),
    regex.IGNORECASE,
)
_COST = regex.compile(
    folded(
        r"\b(?:costs?|prices?|pay|hold|cuestan?|precio|coute|prix|custam?|preco|bei)\b|价格|价钱|多少钱|कीमत|दाम|سعر"
        r"|ثمن"
    ),
    regex.IGNORECASE,
)
# The water that a product is mixed with does not make the question one about water.
_MIXING_WATER = regex.compile(
    folded(
        r"\b(?:per|in|into|to|with|a|each)(?: \d+)?(?: \p{L}+)?(?: of)? water\b|[桶升壶斤克公]的?水"
        r"|[兑加配掺对]\d*\p{Han}{0,4}水|水[兑加配掺对]"
        r"|\b(?:litros?|litres?|l) (?:de |d')(?:agua|eau)\b|\b(?:en|em|dans|con|com|avec) (?:el |la |l'|o |a "
        r"|de l')?(?:agua|eau)\b"
        r"|(?:लीटर|लिटर) पानी|पानी में|\blita \w+ (?:za |ya )maji\b|\blita (?:za |ya |moja ya )?maji\b|\b(?:katika"
        r"|kwenye|kwa) maji\b"
        r"|(?:لتر|ليتر|لترات) (?:من )?(?:ال)?ماء|في (?:ال)?ماء"
    ),
    regex.IGNORECASE,
)
# Endings of active ingredients: a written sentence may name one only when its passage does.
INGREDIENT = regex.compile(
    r"\b\p{L}*(?:azole|strobin|thrin|fos|phos|thion|thoate|fop|oxanil|mectin|prid|pyrad|zeb|neb|carb|uron|amide|anilide"
    r"|conil|"
    r"xamid|nil|sulfuron|quat|phosate|fosate|thalonil|diamide|spinosad|spinetoram|sulphur|sulfur|copper|thiram|captan"
    r"|metalaxyl|"
    r"mefenoxam|benzoate|dazim|(?<!mag)azine|buzin|zinam|fenapyr|ozide|fezin|dichlorvos|neem|azadirachtin|"
    r"bacillus|trichoderma|beauveria|metarhizium)\b|\b2,4-DB?\b|\b(?:MCPA|DDT|DDVP)\b"
    r"|吡虫啉|啶虫脒|噻虫[嗪胺]|氯?虫苯甲酰胺|呋虫胺|吡蚜酮|螺虫乙酯|螺螨酯|虫螨腈|茚虫威|灭幼脲|哒螨灵|杀虫双"
    r"|[氯溴氟联氰]\p{Han}{0,2}菊酯"
    r"|代森锰?锌|丙森锌|福美双|百菌清|多菌灵|甲霜灵|霜霉威|霜脲氰|烯酰吗啉|嘧菌酯|吡唑醚菌酯|醚菌酯|苯醚甲环唑|戊唑醇"
    r"|三唑酮|丙环唑"
    r"|三环唑|稻瘟灵|咪鲜胺|腐霉利|异菌脲|嘧霉胺|甲基硫菌灵|叶枯唑|噻唑锌|噻菌铜|井冈霉素|春雷霉素|多抗霉素|链霉素|噁霉灵"
    r"|恶霉灵"
    r"|草甘膦|草铵膦|百草枯|敌草快|莠去津|乙草胺|烟嘧磺隆|硝磺草酮|二甲戊灵|敌敌畏|敌百虫|毒死蜱|辛硫磷|马拉硫磷|乐果"
    r"|乙酰甲胺磷|丙溴磷"
    r"|阿维菌素|甲维盐|多杀[霉菌]素|乙基多杀菌素|苏云金杆菌|白僵菌|绿僵菌|木霉菌?|枯草芽孢杆菌|印楝素|苦参碱|鱼藤酮"
    r"|石硫合剂|波尔多液|硫酸铜|氢氧化铜",
    regex.IGNORECASE,
)
_DOSE_WORDS = frozenset(
    (
        "how many much what is the a an of per in to for on my our i we do should can need use apply put mix add spray "
        "sprayed spraying sprays dose dosage rate rates amount quantity concentration ml l litre litres liter liters "
        "gram grams g kg hectare ha acre acres tank tanks knapsack pump water pesticide insecticide herbicide fungicide "
        "product chemical medicine and with against when are does at it be required recommended right correct exact give "
        "please tell me one application dilute dilution times time"
    ).split()
) | frozenset("每亩公顷用多少几克毫升千斤倍液稀释兑对水桶喷打施洒药量剂浓度是我该合适次一放配加比例防治病虫害农")


def asks_for_dose(question: Understood) -> bool:
    """Whether a question asks how much of a pesticide to use; where a product is named, any amount of it counts."""
    text, plain = question.text, folded(question.text)
    said = f"{text} {question.english}"  # what the glossary knows of other languages is English
    named = _products(question)
    told = bool(named and question.intent == "explain" and regex.search(_ROMANCE_DOSE, plain))  # "dame los gramos de metalaxil"
    if not (told or question.intent == "amount") or _COST.search(plain):
        return False
    if not (named or _DOSE.search(said) or _DOSE_ELSEWHERE.search(plain)):
        return False
    without_water = _MIXING_WATER.sub(" ", plain)
    other = _NOT_PESTICIDE.search(f"{without_water} {question.english}") or _NOT_PESTICIDE_ELSEWHERE.search(without_water)
    return not other or bool(named) or bool(regex.search(rf"\b{_PESTICIDE}\b|农药", said, regex.IGNORECASE))


def dose_without_label(question: Understood, hits: Sequence[Hit]) -> bool:
    """Whether a pesticide amount is asked that no passage gives for this very product and crop (the label is binding)."""
    if not asks_for_dose(question):
        return False
    named = {word for word in content_words(question.text) if word not in _DOSE_WORDS and not word.isdecimal()}
    field = stems(" ".join((*question.crops, *question.problems)).replace("-", " "))
    products = ({stem(word) for word in named} - field) | {
        stem(word) for name in _products(question) for word in content_words(name)
    }
    return not any(_gives_dose(hit.passage, named, products) for hit in hits)


def _products(question: Understood) -> list[str]:
    return [*INGREDIENT.findall(question.text), *question.products]


def _gives_dose(passage: Passage, named: Collection[str], products: set[str]) -> bool:
    """Whether a passage speaks of all that was named, and one sentence of it has a rate of that product, or of any."""
    present = stems(f"{passage.title} {passage.heading} {passage.text}")
    if not all(stem(word) in present for word in named):
        return False
    with_rate = [span.text for span in sentences.split(passage.text) if has_rate(span.text)]
    return any(_is_of(products, text) for text in with_rate)


def _is_of(products: set[str], text: str) -> bool:
    """Whether a sentence is about these products; of a Chinese name every character counts."""
    found = stems(text)
    characters = {word for word in products if regex.fullmatch(r"\p{Han}", word)}
    words = products - characters
    if not products:
        return bool(INGREDIENT.search(text))
    return characters <= found and (not words or bool(words & found))


def has_rate(text: str) -> bool:
    """Whether a text has an amount for an area or a volume, or any weight or volume."""
    return any(" per " in one.kind or one.kind.split()[0] in ("volume", "mass", "倍") for one in quantities.find(text))

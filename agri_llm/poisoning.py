"""Whether a text may speak of a poisoned person or animal, or of someone who wants to die; in eight languages.

Whatever the language of the page, all of them are looked for. A false alarm costs a minute, a missed one perhaps a life: so the
patterns are wide, and only talk that every farmer has about spraying is kept out of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex

from agri_llm.content import folded

_POISON = (
    r"(?:(?:pest|insect|herb|fung)icides?|(?:agro-?)?chemicals?|weed ?killer|(?:rat )?poison|paraquat|glyphosate|roundup"
    r"|gramoxone|ddvp|dichlorvos|organophosphates?|slug pellets|(?:the|some|my) spray\b(?!er))"
)
_PERSON = r"\b(?:i|he|she|we|they|my (?!crop|plant|field|leaves)\w+|someone|child|worker|neighbour|baby)\b"
_ENGLISH = (
    rf"\b(?:swallow|ingest)\w*\b[^.?!]{{0,30}}\b{_POISON}|\b(?:drank|drunk|ate|eaten|lick\w*"
    rf"|took)\b[^.?!,]{{0,15}}\b{_POISON}"
    rf"|\b(?:drank|drunk) from the (?:spray|tank)|\b(?:inhal\w*|breathed in)\b[^.?!]{{0,40}}\b{_POISON}"
    rf"|\b{_POISON}[^.?!]{{0,80}}\b(?:swallowed (?:it|some|by)|ingested)\b"
    rf"|\b(?:{_POISON}|spray\w*)\b[^.?!]{{0,80}}\b(?:vomit\w*|unconscious|dizz\w+|nause\w+|faint(?:ed|ing|s)?|convuls\w*)\b"
    rf"|\b(?:vomit\w*|unconscious|dizz\w+|nause\w+|faint(?:ed|ing|s)?|convuls\w*)\b[^.?!]{{0,80}}\b(?:{_POISON}|spray\w*)"
    rf"|{_PERSON}[^.?!,]{{0,20}}\b(?:collapsed|feels? sick|can(?:no|')t breathe)\b[^.?!]{{0,60}}\b(?:{_POISON}|spray\w*)"
    rf"|{_PERSON}[^.?!,]{{0,20}}\bpoisoned\b(?! (?:rats?|mice|bait|weeds?))|\b{_POISON}[\s-]poisoning\b"
    rf"|\bpoisoning\b[^.?!]{{0,40}}\b{_POISON}|{_PERSON}[^.?!]{{0,40}}\bpoisoning\b"
    rf"|\b(?:{_POISON}|spray\w*|product)\b[^.?!]{{0,60}}\bin(?:to|side)? (?:my|his|her|their|our|the) (?:eyes?|mouth)\b"
    rf"|\bgot\b[^.?!]{{0,30}}\b(?:in|into|on) (?:my|his|her|their) (?:eyes?|skin|face|mouth)\b"
    rf"|\b(?:skin|hands?|face|eyes?)\b[^.?!]{{0,20}}\b(?:burn|sting|itch)\w*[^.?!]{{0,40}}\b(?:{_POISON}|spray\w*)"
    r"|\bkill(?:ing)? (?:my|him|her)self\b|\bsuicid|\bend my life\b"
)


@dataclass(frozen=True, kw_only=True)
class _Words:
    """How a language says it: patterns without accents.

    `taken` near a `poison` is an emergency, so are a `sign` of poisoning near a poison or `spraying`, and a poison near `eyes`
    or mouth; `plain` words are one by themselves.
    """

    poison: str
    taken: str
    spraying: str
    sign: str
    eyes: str
    plain: str


_LANGUAGES = (
    _Words(  # Chinese
        poison=r"农药|药水|药液|毒药|除草剂|杀虫剂|杀菌剂|杀螨剂|百草枯|敌敌畏|草甘膦|敌草快|乐果|敌百虫|甲胺磷|有机磷"
        r"|老鼠药|鼠药|毒饵",
        taken=r"误[食服饮喝]|喝[了下过到]|喝(?=农药|百草枯|敌敌畏)|(?<![虫蛾鼠螨蚜]都?)(?:吞|吃|服|舔)[了下过到]|吸入|吸进"
        r"|灌[了下]",
        spraying=r"[打喷施撒拌配](?:完|过|了|着|的|农|除草|杀虫){0,2}(?:药|剂)",
        sign=r"头晕|头昏|恶心|呕吐|想吐|吐了|昏迷|昏倒|晕倒|抽搐|瞳孔|不省人事|喘不[上过]气|呼吸困难|发抖|口吐白沫|流口水",
        eyes=r"(?:[进溅喷弄滴](?:到|进|入|了|在)?|到|里|在)[^。？！，]{0,4}(?:(?<![芽虫孔洞])眼(?![光看下前])|嘴里|脸上"
        r"|皮肤)",
        plain=r"(?:农药|药|人|我|他|她|孩子)中毒|中毒[^。？！]{0,12}(?:农药|打药|喷药)|自杀|轻生|不想活|寻短见|喝药(?!水)",
    ),
    _Words(  # Spanish
        poison=r"plaguicidas?|pesticidas?|insecticidas?|herbicidas?|fungicidas?|venenos?|agroquimicos?|quimicos?"
        r"|paraquat|glifosato"
        r"|gramoxone|roundup|raticida|matamaleza|organofosforados?|el liquido|el producto|el remedio",
        taken=r"trag(?:o|ue|aron|ado)|ingir\w+|ingeri\w+|beb(?:io|i|ido|ieron)|tom(?:o|e|ado|aron)|comi(?:o|do|eron)"
        r"|inhal\w+|respiro",
        spraying=r"fumig\w+|pulveriz\w+|rociar\w*|rociando|asperj\w+|aplic(?:ar|o|ando|ado|ue)",
        sign=r"vomit\w*|mare(?:o|os|a|ado|ada|ada?)|nauseas?|desmay\w*|inconsciente|convuls\w*|no (?:puede|puedo) respirar",
        eyes=r"(?:en|a) (?:los|el|mis|sus|su|mi) (?:ojos?|boca|piel|cara)|en la (?:boca|piel|cara)",
        plain=r"intoxica(?:do|da|dos|cion|ron)\b|se intoxic\w+|me intoxi\w+|envenenamiento|(?:me|se) envenen\w+"
        r"|suicid\w+|matarme"
        r"|quitarme la vida",
    ),
    _Words(  # French
        poison=r"pesticides?|insecticides?|herbicides?|fongicides?|poison|produits?(?: \w+)?|desherbant|paraquat"
        r"|glyphosate|roundup"
        r"|gramoxone|mort[- ]aux[- ]rats|raticide|organophosphores?",
        taken=r"aval\w+|(?:ai|as|a|ont|avoir) bu|boit|ingere?\w*|mange|respire|inhale\w*|gorgee",
        spraying=r"pulveris\w+|trait(?:e|er|ant|ement)|epand\w+|applique\w*",
        sign=r"vomi\w*|vertiges?|nausees?|evanoui\w*|inconscient\w*|convuls\w*|tete qui tourne|malaise|(?:n'arrive"
        r"|peut) (?:plus|pas) (?:a )?respirer",
        eyes=r"(?:dans|sur) (?:les|mes|ses|l'|la|le|ma|sa|son) ?(?:yeux|oeil|bouche|peau|visage)",
        plain=r"(?:s'est|me suis|ete|est) (?:intoxique|empoisonne)\w*|intoxications?|empoisonnement|suicid\w*|me tuer"
        r"|mettre fin a (?:mes|ses) jours",
    ),
    _Words(  # Portuguese
        poison=r"agrotoxicos?|venenos?|pesticidas?|inseticidas?|herbicidas?|fungicidas?|defensivos?|paraquate?|glifosato"
        r"|roundup"
        r"|gramoxone|chumbinho|raticida|formicida|organofosforados?|o produto|o remedio",
        taken=r"beb(?:eu|i|ido|eram)|tom(?:ou|ei|ado|aram)|engol\w+|inger\w+|come(?:u|ram)|inal\w+|respir(?:ou|ei)",
        spraying=r"pulveriz\w+|borrif\w+|aplic(?:ar|ou|ei|ando)",
        sign=r"vomit\w*|tontura\w*|tont[ao]s?|nauseas?|enjo\w*|desmai\w*|inconsciente|convuls\w*|(?:nao consegue"
        r"|falta de ar)",
        eyes=r"n[oa]s? (?:(?:meus?|seus?|minha|sua) )?(?:olhos?|boca|pele|rosto)",
        plain=r"intoxica(?:do|da|dos|cao|ram)\b|(?:se|me) intoxic\w+|envenenamento|(?:se|me) envenen\w+|suicid\w+"
        r"|me matar|tirar a (?:minha )?vida",
    ),
    _Words(  # Hindi
        poison=r"कीटनाशक|कीटनाशी|दवाई?|ज़हर|खरपतवारनाशी|फफूंदनाशक|शाकनाशी|पेस्टीसाइड|पैराक्वाट|ग्लाइफोसेट|राउंडअप"
        r"|चूहामार|सल्फास|रसायन|केमिकल",
        taken=r"(?:पी|खा)\s+(?:लिया|लिए|ली|गया|गए|गई|गयी)|निगल\s*\S*|सूंघ\s*\S*|सांस (?:में|से)",
        spraying=r"छिड़क\S*|स्प्रे|दवा (?:डाल|मार)\S*",
        sign=r"उल्टी|उलटी|चक्कर|बेहोश|जी मिचल|मिचली|मितली|सांस (?:नहीं|लेने)|दौरे|झटके|घबराहट|मुंह से झाग",
        eyes=r"(?:आंख\S*|मुंह|चेहरे|त्वचा) (?:में|पर)",
        plain=r"विषाक्तता|ज़हर चढ़|दवा चढ़|आत्महत्या|खुदकुशी|जान दे(?:ना| द)|मरना चाहत",
    ),
    _Words(  # Swahili
        poison=r"dawa|sumu|kiuatilifu|viuatilifu|kiuadudu|viuadudu|kiuagugu|viuagugu|kemikali|gramoxone|roundup|paraquat"
        r"|glaifosati",
        taken=r"\w*(?:me|li)(?:i|ya|zi)?(?:kunywa|nywa|meza|kula|vuta)|\w*nimekunywa",
        spraying=r"\w*(?:puliz|nyunyiz)\w*|\w*piga dawa",
        sign=r"\w*tapika\w*|kizunguzungu|kichefuchefu|\w*zimia|\w*zirai|poteza fahamu|\w*fahamu zake|degedege|kupumua",
        eyes=r"(?:macho|jicho|mdomo|ngozi|uso)\w*",
        plain=r"(?:ame|ali|nime|wame)athirika na (?:dawa|sumu)|(?:ame|nime|wame)pata sumu|\w*jiua|kujinyonga|kuwekewa sumu",
    ),
    _Words(  # Arabic
        poison=r"مبيد\w*|ال?مبيد\w*|(?<!\p{L})(?:ال)?سم(?:وم)?(?!\p{L})|كيماوي\w*|كيميائي\w*|باراكوات|[جغ]ليفوسات"
        r"|راوند ?اب|(?:ال)?دواء",
        taken=r"(?:[وف]?[يت]?)?(?:شرب|ابتلع|بلع|تناول|استنشق)\w*|اكل(?:ت|وا)?(?!\p{L})",
        spraying=r"(?:ال)?رش\w*|بخ\w*",
        sign=r"[بوف]?(?:ال)?(?:قيء|قيا|تقيا\w*|[يت]تقيا|استفراغ|دوخ\w*|دوار|دايخ\w*|غثيان|اغماء|اغمي|تشنج\w*)"
        r"|فقد\w* الوعي|تنفس",
        eyes=r"(?:عين|عيون|فم|جلد|وجه)\w*",
        plain=r"[وف]?(?:ال|لل)?تسمم\w*|(?:ال|[يتنا])?انتح(?:ر|ار)\w*|اقتل نفسي|اموت نفسي|لا اريد ان اعيش",
    ),
)


def _pattern(words: _Words) -> str:
    poison, spraying = f"(?<!\\p{{L}}|\\p{{M}})(?:{words.poison})", f"(?:{words.spraying})"
    if regex.search(r"\p{Han}", words.poison):  # no spaces between words
        poison = f"(?:{words.poison})"
        taken, sign, eyes, plain = (f"(?:{one})" for one in (words.taken, words.sign, words.eyes, words.plain))
    else:
        taken, sign, eyes, plain = (
            f"(?<!\\p{{L}}|\\p{{M}})(?:{one})" for one in (words.taken, words.sign, words.eyes, words.plain)
        )
        taken = f"{taken}(?!\\p{{L}}|\\p{{M}})"
    near, far = r"[^.?!。？！।؟,，、،]{0,25}", r"[^.?!。？！।؟]{0,60}"
    return (
        f"{taken}{near}{poison}|{poison}{near}{taken}|{sign}{far}(?:{poison}|{spraying})|(?:{poison}|{spraying}){far}{sign}"
        f"|{poison}{far}{eyes}|{eyes}{near}{poison}|{plain}"
    )


_POISONING = regex.compile("|".join([_ENGLISH, *(folded(_pattern(words)) for words in _LANGUAGES)]), regex.IGNORECASE)


def speaks_of_poisoning(text: str) -> bool:
    """Whether someone may be poisoned, or wants to take their life; then nothing but help is to be named."""
    return bool(_POISONING.search(folded(text)))

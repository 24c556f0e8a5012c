"""What a question wants, told by its words in eight languages: to know what it is, what to do, when, how much, how to prevent.

The patterns are read without accents, short vowels of Arabic and dots below letters of Hindi (see `content.folded`), because
people type them or not.
"""

from __future__ import annotations

from functools import cache

import regex

from agri_llm.content import folded
from agri_llm.records import Intent

_KNOWING = r"(?:tell|know|recogni[sz]e|identify|distinguish|diagnose|find out)\b"
_MEANS = (
    r"(?:fungicide|pesticide|insecticide|herbicide|spray|product|chemical|medicine|treatment|fertili[sz]er|variety|method)s?"
)
_DOING = r"(?:use|spray|apply|plant|sow|grow|mix|put|add|harvest|treat|remove|cut|burn)"
_ENGLISH: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"\bhow (?:much|many)\b",
        r"\b(?:dose|dosage|quantity|concentration|dilut\w+|spacing|ml)\b|\b(?:kg|kilos?|grams?) (?:per|of)\b",
        r"\brates? (?:of|for|per|to)\b|\b(?:what|which|recommended|right|correct|spray|seed|seeding) (?:\w+ )?rates?\b",
        r"\bhow (?:deep|far|wide|close)\b",
    ),
    "prevent": (
        r"\b(?:prevent|avoid)\w*|\bprotect(?:s|ed|ing|ion)?\b",
        r"\bkeep\b.{0,40}\b(?:away|off|out|free|from)\b|\bstop\b.{0,40}\bfrom\b",
        r"\bbefore\b.{0,30}\b(?:starts?|appears?|comes?)\b",
    ),
    "when": (
        r"^\s*when\b|\bwhen (?:should|do|does|can|is|to|will)\b",
        r"\b(?:what|which) (?:time|month|season|stage|weather)\b|\bhow (?:often|soon|early|late|long)\b",
        r"\b(?:right|best|good) time\b|\btoo (?:late|early)\b",
    ),
    "act": (
        r"\bwhat (?:do|can|should|to|must|shall|would)\b(?! (?:you see|it look))",
        rf"\bhow (?:do|can|should|to|would|could|must)\b(?!.{{0,12}}\b{_KNOWING})",
        rf"\b(?:(?:which|what)|what (?:is|are) (?:the )?(?:best|right)) {_MEANS}\b|\b(?:can|should|may) (?:i|we) {_DOING}\b",
        r"\b(?:control|manag|treat|kill|fight)\w*|\b(?:cure[sd]?|get rid|remedy|fix|stop|save|solution|help)\b",
    ),
    "identify": (
        r"\bwhat(?:'s| is| are| causes?| caused)\b|\bwhy\b|\b(?:which|what) (?:disease|pest|insect|bug|worm|problem)\b",
        r"\b(?:symptoms?|signs?|identify|recogni[sz]e|look like|tell|know|diagnos\w*|cause[sd]?)\b",
    ),
}
_HAN_KNOWING = r"(?:识别|判断|知道|辨别|区分|分辨|看出|认出|辨认|鉴别|诊断)"
_CHINESE: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"多少(?!天|小时|个?月|次|遍|年|时间|种)|用量|剂量|浓度|倍液|稀释|兑水|配比|株行距|株距|行距|播种量|种植密度"
        r"|多[密深宽远稀]",
        r"几(?=毫升|公?斤|千克|克|两|袋|瓶|包|桶|勺|吨|升|倍|厘米|公分|米|棵|株|粒)",
    ),
    "prevent": (
        r"预防|避免|防止|防范|(?:怎么?样?|咋样?|如何)(?:才能)?(?:提前)?防(?![治控])|不(?:让|想让)|别让|免得"
        r"|不再(?:得|发)",
    ),
    "when": (
        r"(?:什么|啥|哪个|何)(?:时[候间期]|季节|节气|月份?|阶段|生育期)|何时|几月|几号|几时|多久|多长时间|时机|哪天|适期",
        r"多少(?:天|小时|个?月|次|遍|时间)|几(?:天|次|遍|个月|周)|(?:太|会不会)[早晚]|[早晚]不[早晚]|来得?不?及",
    ),
    "act": (
        r"怎么办|咋办|[怎咋]么?[整弄治]|防治|防控|治疗|控制|对付|消灭|杀死|除掉|根治|治[得不]?好|能治|有救|挽救|补救|改良",
        r"(?:用|打|喷|上|施)(?:点|些)?(?:什么|啥)(?:药|肥|办法|方法|好)|(?:什么|啥)(?:好|特效)?(?:药|办法|方法|措施|品种|肥)",
        r"要不要|该不该|能不能|可不可以|用不用|需不需要|要(?:打|喷|治|防|拔|砍|施)\p{Han}{0,4}吗",
        rf"(?:怎么|怎样|如何|咋)(?!{_HAN_KNOWING}|回事|了|会|不|就|都|老|总|这么|那么|有|全|样子"
        rf"|[发变枯蔫烂卷掉落死黄白红黑]|看)",
    ),
    "identify": (
        r"是(?:什么|啥)|(?:什么|啥|哪种)(?:病|虫|害虫|毛病|问题|原因|样|症状|东西|引起|造成)|症状|为什么|为啥|怎么|咋|原因|"
        r"[是得]不是|是.{1,15}吗|缺(?:什么|啥|哪种)|有(?:什么|啥)(?:区别|不同|特征|表现)|引起|长(?:什么|啥)样",
        _HAN_KNOWING,
    ),
}
_NOT_KNOWING = r"(?!saber|reconoc|reconhec|identific|disting|diagnos)"  # "como reconocer" asks what it is
_SPANISH: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"\bcuant[oa]s?\b(?<!cada cuanto)(?! (?:dias?|semanas?|tiempo|veces|mes(?:es)?|horas?)\b)|\b(?:dosis|dosific\w+"
        r"|cantidad|concentracion)\b",
        r"\b(?:dilu\w+|densidad|distancia|profundidad)\b",
    ),
    "prevent": (r"\b(?:preven\w+|previen\w+|evit\w+|proteg\w+|protej\w+|impedir)\b|\bpara que no\b",),
    "when": (r"\b(?:cuando|epoca|frecuencia|momento|cada cuanto)\b|\bcuant[oa]s? \w+|\ben que (?:mes|fecha|hora|etapa)\b",),
    "act": (
        r"\bque (?:le )?(?:hago|hacer|hacemos|puedo|podemos|debo|aplico|echo|pongo|aplicar|echar|uso|usar|doy|remedio"
        r"|producto)\b",
        r"\b(?:que|con que|cual) (?:\w+ ){0,2}(?:hago|pongo|corto|aplico|echo|curo|quito|uso|conviene)\b",
        r"\bque (?:fungicida|insecticida|herbicida|plaguicida|veneno|tratamiento|abonos?|fertilizante)\b|\bcomo y cuando\b",
        r"(?:^|[,¿] ?)(?:aplico|sigo|corto|echo|pongo|fumigo|siembro|conviene|puedo|debo)\b|\bse (?:puede )?salva",
        rf"\bcomo (?:puedo|podemos|debo|hago|lo |la |los |las |le |se \w+[aeo]n?\b|{_NOT_KNOWING}\w+[aei]r(?:l[aeo]s?)?\b)",
        r"\b(?:control|combat|trat(?:ar|o|amiento)|elimin|curar?|mata[rn]|manej)\w*|\b(?:remedio|solucion|deshacer\w+)\b",
    ),
    "identify": (
        r"\bque (?:es|son|tiene|tienen|enfermedad|plaga|bicho|insecto|gusano|causa|pasa|les? pasa|sera)\b|\bpor ?que\b",
        r"\b(?:sintomas?|senales|reconoc\w+|identific\w+|diagnost\w+|causas?|disting\w+)\b|\bcomo (?:saber|se\b|es|son)\b",
    ),
}
_FRENCH: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"\bcombien\b(?! de (?:jours?|temps|fois|semaines?|mois|heures?)\b| (?:d'ann|dure))|\b(?:doses?|dosage|quantite)\b",
        r"\b(?:concentration|dilu\w+|densite|ecartement|espacement)\b|\bquelle (?:distance|profondeur|epaisseur)\b"
        r"|^distance\b",
    ),
    "prevent": (r"\b(?:preven\w+|evit\w+|proteg\w+|empech\w+|precautions?|limiter|reduire)\b|\bcomment ne pas\b",),
    "when": (
        r"(?:^|[,;:?] ?|partir de )quand\b|\bquand (?:faut|dois|doit|peut|est|les?|la|on)\b(?! (?:coupe|tire|frotte"
        r"|touche))|\bcombien d[e']",
        r"\b(?:frequence|delai|epoque|moment)\b|\bquel(?:le)?s? (?:est (?:la|le) )?(?:meilleure? )?(?:mois|semaines?"
        r"|saison|periode|heure|date|stade)\b",
    ),
    "act": (
        r"\bque (?:faire|dois|puis|peut|faut|fait)\b|\bqu'?est[- ]ce que (?:je|nous|l'on|on) |\bquoi (?:faire|mettre"
        r"|utiliser)\b",
        r"\bcomment\b(?! (?:reconn|identif|savoir|sait|disting|diagnos|se presente|s'appelle))",
        r"\bquel(?:le)?s? (?:produit|traitement|fongicide|insecticide|herbicide|remede|medicament|engrais)",
        r"\b(?:lutt|trait|soign|combatt|control|elimin|debarrass|ger)(?:e|er|ement|ons|re|ez)?\b|\b(?:tuer|remede"
        r"|solution)\b",
    ),
    "identify": (
        r"\bqu'?est[- ]ce (?:que c'est|qui)\b|\bc'est quoi\b|\bpourquoi\b|\bquel(?:le)?s? (?:maladie|ravageur|insecte|cause)",
        r"\b(?:symptomes?|signes|reconnaitre|identifi\w+|disting\w+|diagnost\w+|causes?)\b|\bcomment\b",
    ),
}
_PORTUGUESE: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"\bquant[oa]s?\b(?! (?:dias?|semanas?|tempo|vezes|mes(?:es)?|horas?)\b)|\b(?:doses?|dosagem|quantidade"
        r"|concentracao)\b",
        r"\b(?:dilu\w+|espacamento|densidade|profundidade)\b",
    ),
    "prevent": (r"\b(?:preven\w+|previn\w+|evit\w+|proteg\w+|protej\w+|impedir)\b",),
    "when": (
        r"\b(?:quando|epoca|frequencia|carencia|momento)\b|\bquant[oa]s? \w+|\b(?:que|qual) (?:mes|fase|hora"
        r"|estacao)\b",
    ),
    "act": (
        r"\bo que (?:eu )?(?:fazer|faco|fazemos|posso|devo|podemos|aplicar|aplico|passo|passar|uso|usar)\b",
        r"\b(?:qual|que) (?:\w+ )?(?:produto|fungicida|inseticida|herbicida|veneno|remedio|tratamento|adubo)\b",
        rf"\bcomo (?:posso|podemos|devo|faco|se \w+[aeo]m?\b|(?:eu )?{_NOT_KNOWING}\w+[aei]r\b)",
        r"\b(?:control|combat|trat(?:ar|o|amento)|elimin|curar?|mata[rm]|manej)\w*|\b(?:remedio|solucao|acabar com)\b",
    ),
    "identify": (
        r"\bo que (?:e|sao|esta|causa|pode|tem|provoca)\b|\b(?:que|qual) (?:e )?(?:a )?(?:doenca|praga|bicho|inseto"
        r"|lagarta)\b",
        r"\bpor ?que\b|\b(?:sintomas?|sinais|reconhec\w+|identific\w+|disting\w+|diagnost\w+|causas?)\b|\bcomo\b",
    ),
}
_HINDI: dict[Intent, tuple[str, ...]] = {
    "amount": (r"कितन[ाीे](?!\s*(?:दिन|बार|समय|देर|महीन|हफ्त|घंट))|मात्रा|डोज|खुराक|दूरी|बीज दर|सांद्रता|घोल",),
    "prevent": (r"बचाव|बचाए|बचान|बचें|बचा सक|रोकथाम|रोकें|से बच|न (?:लगे|हो|आए)\b",),
    "when": (r"कब|कितने\s*\S+|कौन से महीन|किस (?:महीन|समय|अवस्था|मौसम)|सही समय",),
    "act": (
        r"क्या\s*(?:कर|उपाय|इलाज|डाल|छिड़क|दवा)|इलाज|उपचार|नियंत्रण|उपाय|कौन[ -]?सी दवा|मारें|मारने|छुटकारा|खत्म",
        r"कैसे(?!\s*(?:पहचान|पता|जान|दिखत|होत))",
    ),
    "identify": (r"क्या (?:है|हुआ|हो)|कौन\s?(?:सा|सी|से)?\s?(?:रोग|कीट|कीड़ा|बीमारी)|क्यों|लक्षण|पहचान|कारण|कैसे",),
}
_SWAHILI: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"(?<!\b(?:siku|mara|wiki|saa|miezi|muda|miaka) )\b(?:mi|ma|wa|vi)?ngapi\b|\bunene gani\b|\b(?:kiasi"
        r"|kipimo|vipimo|dozi)\b|\b(?:umbali|nafasi|kina) gani\b",
    ),
    "prevent": (r"\b\w*(?:zui[ae]|epuk[ae]|kinga|kinge|kulinda|lind[ae])(?:je)?\b|\b[iz]?(?:si|zi?si)pat\w+",),
    "when": (
        r"\blini\b|\bwakati (?:gani|upi|mzuri)\b|\b(?:siku|mara|wiki|saa|miezi|miaka) (?:mi)?ngapi\b|\b(?:mwezi"
        r"|msimu|muda) (?:gani|upi)\b",
    ),
    "act": (
        r"\b(?:ni|tu|a)?(?:fanye)\b|\b\w+je\b(?<!\b(?:mbeje|kuje))(?<!juaje|tambuaje)|\baina gani\b|\bkufanya nini\b"
        r"|\b\w*(?:wezaje|naweza|waweza)\b(?! ku(?:tambua|jua))|\bdawa (?:gani|ya)\b",
        r"\b(?:jinsi|namna) ya\b(?! ku(?:tambua|jua))|\bnjia (?:gani|ipi|ya)\b",
        r"\b\w*(?:kutibu|tiba|dhibiti|kuua|kuondoa|pambana|angamiza|kumaliza)\b|\bni(?:tumie|pulizie|nyunyizie|weke)\b"
        r"|\bvipi\b(?!\?? *dalili)",
    ),
    "identify": (
        r"\bni nini\b|\bnini\b|\bkwa ?nini\b|\b(?:ugonjwa|magonjwa|mdudu|wadudu|tatizo|shida) gani\b",
        r"\b(?:dalili|sababu)\b|\b\w*(?:tambua|tambuaje|jua|juaje|sababisha|sababishwa)\b",
    ),
}
_ARABIC: dict[Intent, tuple[str, ...]] = {
    "amount": (
        r"(?<!\p{L})[بو]?كم(?!\p{L})(?!\s*(?:من\s*)?(?:يوم|مر[هة]|اسبوع|شهر|ساع|الوقت|وقت|مد[هة]))|كمي[هة]|جرع[هة]|معدل"
        r"|تركيز|مقدار|مساف[هة]",
    ),
    "prevent": (r"وقاي[هة]|تجنب|(?<!\p{L})[لو]?(?:ت|ن|ا|ي)?منع|حماي[هة]|(?<!\p{L})[اني]حمي|[اني]قي\b",),
    "when": (r"متى|(?<!\p{L})كم(?!\p{L})|في اي (?:وقت|شهر|موسم|مرحل)|موعد|الوقت المناسب|افضل وقت|توقيت",),
    "act": (
        r"ماذا (?:[ان]فعل|[انت]عمل|يجب|[ان]رش|[ان]ستخدم)|ما (?:العمل|الحل|العلاج)|مكافح|علاج|[انيت]عالج|القضاء|تخلص"
        r"|شو [اب]عمل",
        r"ايش اسوي|(?:اي|ما هو|ما) (?:ال)?(?:مبيد|دواء|علاج|سماد)|كيف(?!\s*(?:[انيت]عرف|[انت]ميز|[انت]تعرف|[يت]بدو|شكل))",
    ),
    "identify": (
        r"ما (?:هذا|هذه|هي|هو|سبب|اسباب|ال(?:مرض|حشر|اف|سبب|ذي))|ماه[وي]|لماذا|ليش|اعراض|علامات|سبب|اي (?:مرض|حشر"
        r"|اف[هة])|كيف|تشخيص|ماذا",
    ),
}
# The first intent with a matching pattern decides. Chinese and English are often mixed in one question, so they stand together.
_MIXED = {intent: (*_ENGLISH[intent], *_CHINESE[intent]) for intent in _ENGLISH}
_PATTERNS = {
    "es": _SPANISH, "fr": _FRENCH, "pt": _PORTUGUESE, "hi": _HINDI, "sw": _SWAHILI, "ar": _ARABIC,
}  # fmt: skip
# What sections of documents that answer such questions are about.
WANTED: dict[Intent, str] = {
    "identify": "symptoms", "act": "control", "when": "when", "amount": "how much", "prevent": "prevention", "explain": "",
}  # fmt: skip


def intent_of(text: str, language: str = "en") -> Intent:
    """Return what kind of answer a question in a language wants; "explain" where nothing tells."""
    plain = folded(text).strip()
    return next((intent for intent, pattern in _compiled(language).items() if pattern.search(plain)), "explain")


@cache
def _compiled(language: str) -> dict[Intent, regex.Pattern[str]]:
    patterns = _PATTERNS.get(language, _MIXED)
    return {intent: regex.compile(folded("|".join(of_intent)), regex.IGNORECASE) for intent, of_intent in patterns.items()}

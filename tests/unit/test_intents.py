"""What a question wants is told by its words in every language of the glossary."""

from __future__ import annotations

import pytest

from agri_llm.intents import intent_of
from agri_llm.questions import understand
from agri_llm.records import Question
from knowledge_base.terms import Glossary

INTENTS = {
    "zh": {
        "identify": """水稻叶子上有梭形斑，这是啥病
番茄底下烂了个黑疤，是什么毛病
玉米心叶都是洞，咋回事
叶子怎么黄了
怎么会掉果
是不是赤霉病
是大斑病吗
缺什么元素
怎么看出是缺镁""",
        "act": """稻瘟病怎么治
黄瓜白粉病咋办
我家番茄叶背有霉，怎么弄
用什么药好
打啥药
柑橘黄龙病能治好吗
麦蚜一大片，要不要打药
小麦穗上全是蚜虫,要打药吗
怎么堆肥
小麦条锈病有什么好办法对付""",
        "when": """小麦赤霉病啥时候打药
黄瓜多久浇一次水
打完药几天能采收
多少天打一次药
水稻几月插秧
现在种还来得及吗""",
        "amount": """一亩地用几克
玉米施多少尿素合适
草甘膦一桶水兑多少
代森锰锌600倍液能治晚疫病吗
株行距多少合适
种多深""",
        "prevent": """葡萄霜霉病怎么防
草莓灰霉病咋防
怎样预防晚疫病
怎么不让白粉病再来
怎么避免连作""",
    },
    "es": {
        "identify": """¿qué enfermedad tiene mi maíz?
¿por qué se ponen amarillas las hojas?
síntomas de la roya
¿cómo sé si es tizón?""",
        "act": """¿qué hago con la roya del café?
¿cómo controlo el gusano cogollero?
¿Cómo se trata el mildiu?
¿qué fungicida uso?
mi tomate tiene tizón, ¿qué le echo?
roya amarilla en el trigo, ¿aplico fungicida?""",
        "when": """¿cuándo siembro el frijol?
¿cada cuánto riego?
¿cuántos días después de fumigar cosecho?
¿en qué época se poda?""",
        "amount": """¿cuánta urea por hectárea?
¿qué dosis de mancozeb?
¿cuántos kilos de semilla?
¿a qué distancia siembro?""",
        "prevent": "¿cómo evito la broca?\n¿cómo prevenir la sigatoka?\nproteger el maíz del gorgojo",
        "explain": "la sigatoka negra del banano",
    },
    "fr": {
        "identify": """quelle maladie a mon maïs ?
pourquoi les feuilles jaunissent ?
symptômes de la rouille
comment reconnaître le mildiou ?""",
        "act": """que faire contre les pucerons ?
comment lutter contre la chenille légionnaire ?
quel produit utiliser ?
comment soigner mes tomates""",
        "when": """quand semer le mil ?
tous les combien de jours arroser ?
à quel moment traiter ?
quelle est la meilleure période""",
        "amount": "combien d'urée par hectare ?\nquelle dose de mancozèbe ?\nquel écartement entre les lignes ?",
        "prevent": "comment prévenir le mildiou ?\ncomment éviter l'aflatoxine\nprotéger le maïs des charançons",
        "explain": "la rouille du haricot",
    },
    "pt": {
        "identify": """que doença tem o meu milho?
por que as folhas ficam amarelas?
sintomas da ferrugem
como reconhecer o míldio?""",
        "act": """o que fazer contra a lagarta?
como controlar a mosca-branca?
qual inseticida usar?
como se trata a requeima""",
        "when": "quando plantar o feijão?\nquantos dias depois de pulverizar posso colher?\nqual a época de poda?",
        "amount": "quanto de ureia por hectare?\nqual a dose de mancozebe?\nqual o espaçamento do milho?",
        "prevent": "como evitar a broca do café?\nprevenir a ferrugem\ncomo proteger o milho guardado",
        "explain": "ferrugem do café",
    },
    "hi": {
        "identify": "यह कौन सा रोग है\nपत्तियां पीली क्यों हो रही हैं\nझुलसा के लक्षण\nकैसे पहचानें",
        "act": "माहू का क्या करें\nझुलसा का इलाज\nइल्ली कैसे मारें\nकौन सी दवा डालें",
        "when": "गेहूं कब बोएं\nदवा के कितने दिन बाद तोड़ें\nकिस महीने में लगाएं",
        "amount": "यूरिया कितना डालें\nदवा की मात्रा क्या है\nलाइन की दूरी कितनी रखें",
        "prevent": "रोग से बचाव कैसे करें\nरोकथाम",
        "explain": "गेहूं का रतुआ",
    },
    "sw": {
        "identify": "huu ni ugonjwa gani\nkwa nini majani yanakuwa njano\ndalili za kutu\nnitatambuaje ugonjwa huu",
        "act": """nifanye nini kuhusu viwavi
nitumie dawa gani ya viwavi
jinsi ya kudhibiti vidukari
njia ya kuua fukusi""",
        "when": "nipande mahindi lini\nnimwagilie mara ngapi\nbaada ya siku ngapi nivune",
        "amount": "kiasi gani cha mbolea kwa ekari\nkilo ngapi za urea\nnafasi gani kati ya mistari",
        "prevent": "jinsi ya kuzuia ukungu\nnitazuiaje fukusi\nkuepuka sumukuvu",
        "explain": "kutu ya maharage",
    },
    "ar": {
        "identify": "ما هذا المرض\nلماذا تصفر الأوراق\nأعراض الصدأ\nكيف أعرف اللفحة",
        "act": "ماذا أفعل ضد المن\nكيف أكافح دودة الحشد\nعلاج اللفحة المتأخرة\nأي مبيد أستخدم",
        "when": "متى أزرع القمح\nكم يوم بعد الرش أحصد\nفي أي شهر نزرع",
        "amount": "كم كمية اليوريا للهكتار\nما جرعة المبيد\nكم كيلو سماد",
        "prevent": "كيف أتجنب المرض\nالوقاية من اللفحة",
        "explain": "صدأ القمح",
    },
}
CASES = [
    (language, text, intent) for language, by in INTENTS.items() for intent, lines in by.items() for text in lines.splitlines()
]


@pytest.mark.parametrize(("language", "text", "intent"), CASES)
def test_the_intent_is_told_in_the_language_of_the_question(language: str, text: str, intent: str) -> None:
    assert intent_of(text, language) == intent
    assert intent_of(f" {text.upper()}\n", language) == intent


def test_accents_may_be_left_out() -> None:
    assert intent_of("cuanta urea por hectarea", "es") == intent_of("¿Cuánta urea por hectárea?", "es") == "amount"
    assert intent_of("اعراض الصدا", "ar") == intent_of("أعراض الصدأ", "ar") == "identify"


def test_the_words_of_one_language_mean_nothing_in_another() -> None:
    assert intent_of("como", "sw") == "explain"
    assert intent_of("cuándo sembrar", "en") == "explain"


@pytest.mark.parametrize(
    ("language", "text", "intent"),
    [
        ("es", "hojas de maíz amarillas con manchas", "identify"),
        ("fr", "taches brunes sur les feuilles de tomate", "identify"),
        ("zh", "西红柿叶子卷起来发黄，植株长不高", "identify"),
        ("en", "leaves of maize yellow with spots", "explain"),
    ],
)
def test_who_only_describes_what_is_seen_wants_to_know_what_it_is(language: str, text: str, intent: str) -> None:
    assert understand(Question(text=text, language=language), Glossary.load()).intent == intent

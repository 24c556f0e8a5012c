"""A question is understood alone and after another one: what it asks, for which crop and problem, in which language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agri_llm.questions import Understood, in_english, intent_of, language_of, understand
from agri_llm.records import Question
from knowledge_base.terms import Glossary


@pytest.fixture(scope="module")
def glossary() -> Glossary:
    return Glossary.load()


INTENTS = {
    "identify": """what is late blight
what causes blossom end rot in tomatoes
why are my maize leaves turning yellow
which insect eats holes in cabbage leaves
what disease makes white powder on cucumber leaves
what are the symptoms of black sigatoka
how do i recognise fall armyworm
how can i tell early blight from late blight
how do i know if my cassava has mosaic
my rice leaves have brown spots, what is it
signs of nitrogen deficiency in wheat
what does citrus canker look like
what is eating my beans
how do i find out what is wrong with my beans
yellow lower leaves on my maize
为什么黄瓜叶子有白粉
水稻叶子发黄是什么病
白粉病的症状是什么
如何识别草地贪夜蛾
怎么知道是不是缺氮""",
    "act": """how do i control fall armyworm in maize
what can i do about late blight on potato
my tomatoes have late blight, what should i do
how to get rid of aphids on cabbage
how to treat powdery mildew
what to do against thrips
is there a cure for banana bunchy top
best way to manage striga
how do i kill weevils in stored maize
help, caterpillars are eating my maize
what do i do when leaves curl
can i save a tree with greening
what should i spray against late blight
which fungicide works against late blight
what is the best fertiliser for maize
can i use neem on kale
should i spray now
how do i make compost
how should i dry maize before storage
how can i improve my soil
late blight in my potatoes
玉米草地贪夜蛾怎么防治
番茄晚疫病怎么办
香蕉枯萎病怎么治""",
    "when": """when should i spray against late blight
when do i plant beans
when is the best time to harvest cassava
what is the right time to spray
what time of year should i plant wheat
which month do i sow rice
how often should i irrigate tomatoes
how long after spraying can i harvest
how soon can i replant after bunchy top
how late can i sow wheat
is it too late to plant maize
at what stage should i top dress maize
什么时候给水稻施肥
小麦几月播种
多久浇一次水""",
    "amount": """how much urea per hectare for maize
how many kg of dap per acre
what is the dose of mancozeb for potato
what rate of lime should i apply
how much water does tomato need
how many ml of imidacloprid per litre
what is the dilution of neem oil
seed rate for wheat
recommended spacing of maize
how deep do i plant cassava
what quantity of manure per plant
每亩用多少尿素
吡虫啉用量是多少""",
    "prevent": """how do i prevent late blight
how can i avoid aflatoxin in groundnuts
how to protect stored maize from weevils
how do i keep fruit flies away from mangoes
how do i stop late blight from spreading
what can i do before late blight appears
ways to prevent cassava mosaic
如何预防晚疫病
怎样防止玉米发霉""",
    "explain": """explain crop rotation
push-pull in maize
rice blast""",
}
CASES = [(text, intent) for intent, lines in INTENTS.items() for text in lines.splitlines()]


@pytest.mark.parametrize(("text", "intent"), CASES)
def test_the_intent_of_a_farmers_words(text: str, intent: str, glossary: Glossary) -> None:
    assert understand(Question(text=text), glossary).intent == intent
    assert understand(Question(text=f"  {text.capitalize()} ?\n"), glossary).intent == intent


def ask(glossary: Glossary, text: str, *before: str, crop: str | None = None) -> Understood:
    """Understand a question after those asked before it, oldest first."""
    earlier: Question | None = None
    for one in before:
        earlier = Question(text=one, follows=earlier)
    return understand(Question(text=text, follows=earlier, crop=crop), glossary)


@pytest.mark.parametrize(
    ("text", "crops", "problems"),
    [
        ("rice blast", ("rice",), ("rice-blast",)),
        ("cotton bollworm in my tomatoes", ("tomato",), ("bollworm",)),
        ("late blight on potato", ("potato",), ("late-blight",)),
        ("potato late blight and tomato late blight", ("potato", "tomato"), ("late-blight",)),
        ("番茄晚疫病怎么办", ("tomato",), ("late-blight",)),
        ("what is the capital of France", (), ()),
        ("my rice cooker is broken", (), ()),
    ],
)
def test_crops_and_problems_are_read(text: str, crops: tuple[str, ...], problems: tuple[str, ...], glossary: Glossary) -> None:
    read = ask(glossary, text)
    assert read.crops == crops
    assert read.problems == problems


BLIGHT = "How do I control late blight on potato?"


@pytest.mark.parametrize(
    "text", ["and for maize?", "what about maize", "And in maize?", "maize?", "那玉米呢？", "the same for maize"]
)
def test_another_crop_takes_the_place_of_the_first(text: str, glossary: Glossary) -> None:
    read = ask(glossary, text, BLIGHT)
    assert read.crops == ("maize",)
    assert read.problems == ("late-blight",)
    assert read.intent == "act"
    assert "late blight" in read.query
    assert "potato" not in read.query


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("when should I spray?", "when"),
        ("what should I spray?", "act"),
        ("and the dose?", "amount"),
        ("is it dangerous?", "act"),
        ("which fungicide?", "act"),
        ("Does it spread by wind?", "act"),
        ("How much mancozeb should I spray?", "amount"),
        ("什么时候打药？", "when"),
    ],
)
def test_a_follow_up_keeps_crop_and_problem(text: str, intent: str, glossary: Glossary) -> None:
    read = ask(glossary, text, BLIGHT)
    assert (read.crops, read.problems, read.intent) == (("potato",), ("late-blight",), intent)
    assert "late blight" in read.query
    assert text in read.query


def test_another_problem_keeps_the_crop(glossary: Glossary) -> None:
    read = ask(glossary, "What about early blight?", BLIGHT)
    assert (read.crops, read.problems, read.intent) == (("potato",), ("early-blight",), "act")
    assert "late blight" not in read.query


def test_a_follow_up_of_a_follow_up_reaches_the_first(glossary: Glossary) -> None:
    read = ask(glossary, "and for maize?", BLIGHT, "what about tomato")
    assert (read.crops, read.problems) == (("maize",), ("late-blight",))
    assert "tomato" not in read.query


@pytest.mark.parametrize(
    "text",
    [
        "tomato, the lower leaves",
        "tomato",
        "Tomatoes. The lower leaves first.",
        "it is tomato",
        "the old leaves of my tomatoes",
        "番茄，下部老叶",
    ],
)
def test_the_answer_to_a_clarification_completes_the_question(text: str, glossary: Glossary) -> None:
    read = ask(glossary, text, "My leaves are turning yellow, what do I do?")
    assert read.crops == ("tomato",)
    assert read.signs == ("yellowing",)
    assert "turning yellow" in read.query


@pytest.mark.parametrize(
    "text",
    [
        "How do I make compost?",
        "How much urea for wheat?",
        "How do I control fall armyworm in maize?",
        "Is there a cure for banana bunchy top?",
        "how deep do I plant cassava?",
        "aphids on cabbage",
        "What is crop rotation good for in general?",
    ],
)
def test_an_independent_question_inherits_nothing(text: str, glossary: Glossary) -> None:
    alone, after = ask(glossary, text), ask(glossary, text, "My potato leaves have brown spots from late blight, what do I do?")
    assert after.query == alone.query
    assert (after.crops, after.problems, after.signs, after.parts) == (alone.crops, alone.problems, alone.signs, alone.parts)


WHEAT = "小麦赤霉病怎么治？"


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("什么时候打药？", "when"),
        ("怎么预防？", "prevent"),
        ("用什么药？", "act"),
        ("会传染吗？", "act"),
        ("这病严重吗？", "act"),
        ("要打几次药？", "when"),
        ("是什么原因引起的？", "identify"),
    ],
)
def test_a_chinese_follow_up_keeps_crop_and_problem(text: str, intent: str, glossary: Glossary) -> None:
    read = ask(glossary, text, WHEAT)
    assert (read.crops, read.problems, read.intent) == (("wheat",), ("fusarium-head-blight",), intent)
    assert "赤霉病" in read.query
    assert text in read.query


@pytest.mark.parametrize("text", ["那大麦呢？", "大麦呢", "换成大麦呢"])
def test_another_crop_in_chinese_takes_the_place_of_the_first(text: str, glossary: Glossary) -> None:
    read = ask(glossary, text, WHEAT)
    assert (read.crops, read.problems, read.intent) == (("barley",), ("fusarium-head-blight",), "act")
    assert "小麦" not in read.query
    assert "赤霉病" in read.query


@pytest.mark.parametrize(
    "text", ["水稻什么时候插秧？", "怎么堆肥？", "番茄晚疫病怎么办？", "玉米施多少尿素？", "香蕉怎么种？", "怎么轮作"]
)
def test_an_independent_chinese_question_inherits_nothing(text: str, glossary: Glossary) -> None:
    alone, after = ask(glossary, text), ask(glossary, text, WHEAT)
    assert after.query == alone.query
    assert (after.crops, after.problems, after.intent) == (alone.crops, alone.problems, alone.intent)


def test_what_a_follow_up_inherits_is_said_in_its_own_language(glossary: Glossary) -> None:
    read = ask(glossary, "早疫病呢？", "番茄晚疫病怎么办？")
    assert "番茄" in read.query
    assert "tomato" not in read.query.lower()


@pytest.mark.parametrize(
    ("language", "before", "text", "crops", "intent"),
    [
        ("es", "¿cómo controlo el tizón tardío de la papa?", "¿y en el tomate?", ("tomato",), "act"),
        ("es", "¿cómo controlo el tizón tardío de la papa?", "¿cuándo fumigo?", ("potato",), "when"),
        ("fr", "comment lutter contre le mildiou de la pomme de terre ?", "et pour la tomate ?", ("tomato",), "act"),
        ("pt", "como controlar a requeima da batata?", "e no tomate?", ("tomato",), "act"),
    ],
)
def test_a_follow_up_in_another_language_inherits(
    language: str, before: str, text: str, crops: tuple[str, ...], intent: str, glossary: Glossary
) -> None:
    first = Question(text=before, language=language)
    read = understand(Question(text=text, follows=first, language=language), glossary)
    assert (read.crops, read.problems, read.intent) == (crops, ("late-blight",), intent)


def test_pesticides_and_what_they_hold_are_read(glossary: Glossary) -> None:
    assert ask(glossary, "吡虫啉和尿素能混用吗").products == ("吡虫啉",)
    assert ask(glossary, "¿cuánto glifosato por hectárea?").products == ("glifosato",)
    assert ask(glossary, "how much urea").products == ()


def test_details_beside_the_question_fill_what_it_leaves_out(glossary: Glossary) -> None:
    read = ask(glossary, "What can I do about aphids?", crop="cabbage")
    assert read.crops == ("cabbage",)
    assert "cabbage" in read.query
    assert ask(glossary, "叶子上有白粉，怎么办", crop="黄瓜").crops == ("cucumber",)
    assert ask(glossary, "yellow leaves, why", crop="Dragonbean").crops == ("dragonbean",)


def test_a_crop_in_the_question_wins_over_the_one_beside_it(glossary: Glossary) -> None:
    read = ask(glossary, "What can I do about aphids on beans?", crop="cabbage")
    assert read.crops == ("bean",)
    assert "cabbage" not in read.query


def test_the_language_is_the_stated_one_else_that_of_the_words() -> None:
    assert language_of("番茄 late blight") == "zh"
    assert language_of("late blight") == "en"
    assert language_of("番茄", "en") == "en"
    assert language_of("टमाटर late blight") == "hi"
    assert language_of("طماطم") == "ar"
    assert language_of("tomate", "es") == "es"


@pytest.mark.parametrize(
    ("text", "personal"),
    [
        ("My leaves", True),
        ("what can we do", True),
        ("叶子发黄怎么办", True),
        ("I've seen it", True),
        ("mine", True),
        ("Mites on maize", False),
    ],
)
def test_a_personal_question_is_told_apart(text: str, personal: bool, glossary: Glossary) -> None:
    assert ask(glossary, text).personal is personal


@given(st.text(max_size=120), st.text(max_size=60))
def test_any_text_is_understood_alone_and_after_another(text: str, before: str) -> None:
    glossary = Glossary.load()
    read = understand(Question(text=text, follows=Question(text=before)), glossary)
    assert read.intent in ("identify", "act", "when", "amount", "prevent", "explain")
    assert len(read.query) <= 2 * (len(text) + len(before)) + 200


def test_a_long_conversation_does_not_break_understanding(glossary: Glossary) -> None:
    read = ask(glossary, "and for maize?", BLIGHT, *["when should I spray?", "and for tomato?"] * 1000)
    assert read.crops == ("maize",)
    assert len(read.query) < 2000


def test_the_intent_of_nothing_is_to_explain() -> None:
    assert intent_of("") == "explain"


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("es", "¿Cuál es la mejor temperatura para la yuca?", "growing temperature cassava"),
        ("fr", "Quelle altitude pour le caféier ?", "growing altitude above sea level coffee"),
        ("pt", "Quantos quilos de sementes de trigo por hectare?", "growing kg seed wheat hectare how much"),
        ("hi", "केले को कितना पानी चाहिए?", "growing banana water how much"),
        ("sw", "Maharage hupandwa kwa kina gani?", "growing bean cm deep how much"),
        ("ar", "ما هي درجة الحرارة المناسبة لزراعة البصل؟", "growing temperature onion"),
    ],
)
def test_a_number_asked_for_in_another_language_is_said_with_its_measure(
    glossary: Glossary, language: str, text: str, said: str
) -> None:
    assert in_english(understand(Question(text=text, language=language), glossary), glossary) == said


def test_a_measure_beside_a_problem_changes_nothing(glossary: Glossary) -> None:
    blight = understand(Question(text="¿Qué es el tizón tardío y qué temperatura le gusta?", language="es"), glossary)
    assert blight.intent == "identify"
    assert "temperature" not in in_english(blight, glossary)
    assert "temperature" not in blight.english  # what the rule on doses reads holds no words of measuring
    assert in_english(understand(Question(text="¿Qué temperatura hace?", language="es"), glossary), glossary) == ""

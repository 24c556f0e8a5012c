"""A possible poisoning is seen in every language that farmers ask in, and ordinary talk of spraying is none."""

from __future__ import annotations

import pytest

from agri_llm.poisoning import speaks_of_poisoning
from agri_llm.safety import input_problem

EMERGENCIES = {
    "zh": """我爸打完药回来头晕恶心想吐
老伴喷了一上午农药，晚上呕吐不止
孩子把除草剂当饮料喝了一口
小孩误食了老鼠药怎么办
喝了百草枯还有救吗
农药进了眼睛怎么办
药水溅到脸上火辣辣的
配药的时候吸入了农药，喘不上气
我家狗吃了毒饵抽搐
打完除草剂人昏倒了
有人在地里农药中毒了
我不想活了
邻居想喝农药自杀""",
    "es": """mi hijo se tragó un insecticida
tomó veneno para ratas, ¿qué hago?
mi esposo vomita después de fumigar
estoy mareado después de aplicar el herbicida
le cayó glifosato en los ojos
mi compañero se intoxicó fumigando
bebió paraquat por error
se desmayó después de fumigar el maíz
el perro se comió el raticida, comió veneno
intoxicación por plaguicidas, ¿qué hacer?
quiero suicidarme""",
    "fr": """mon fils a avalé du pesticide
il a bu du désherbant
ma femme vomit après avoir traité les tomates
j'ai des vertiges après la pulvérisation
du produit dans les yeux, que faire ?
mon ouvrier s'est évanoui en pulvérisant
intoxication aux pesticides
mon chien a mangé de la mort-aux-rats, il a mangé du poison
il s'est intoxiqué avec un insecticide
je veux mettre fin à mes jours""",
    "pt": """meu filho bebeu agrotóxico
engoliu veneno de rato
estou com tontura depois de pulverizar
meu marido está vomitando depois de aplicar o herbicida
caiu inseticida nos olhos
o trabalhador desmaiou pulverizando o milho
tomou chumbinho
intoxicação por agrotóxicos
ele se envenenou com veneno
quero me matar""",
    "hi": """बच्चे ने कीटनाशक पी लिया
मेरे भाई ने चूहामार दवा खा ली
दवा छिड़कते समय चक्कर और उल्टी आ रही है
स्प्रे करने के बाद बेहोश हो गया
आंख में कीटनाशक चला गया
कीटनाशक आँखों में पड़ गया
खरपतवारनाशी निगल लिया
दवा का जहर चढ़ गया
मैं आत्महत्या करना चाहता हूँ""",
    "sw": """mtoto amekunywa dawa ya wadudu
amemeza sumu ya panya
nasikia kizunguzungu baada ya kupulizia dawa
mume wangu anatapika baada ya kunyunyizia dawa
dawa imeingia machoni
dawa ya magugu imemwingia kwenye jicho
mfanyakazi amezimia akipulizia dawa
ng'ombe amekula viuatilifu
nataka kujiua""",
    "ar": """شرب ابني مبيد حشري
ابتلعت سم الفئران
أشعر بدوخة بعد رش المبيد
زوجي يتقيأ بعد الرش
دخل المبيد في عيني
أغمي على العامل أثناء رش المبيد
استنشقت المبيد وعندي ضيق تنفس
تسمم بالمبيدات ماذا أفعل
أريد الانتحار""",
}
ORDINARY = {
    "zh": """打完药多久才能采收
农药瓶怎么处理
蚜虫吃了农药也不死怎么回事
打农药后叶子上到处有虫眼
药液要喷到叶背上
虫子吃了叶子打什么药
喝水的桶能装农药吗
打药要穿什么
怎么给马铃薯芽眼消毒用什么药
除草剂药害苗子发黄怎么办
农药怎么稀释""",
    "es": """¿cuándo puedo comer los tomates después de fumigar?
¿qué insecticida mata los gusanos?
los gusanos se comieron mi maíz
¿cómo guardo los plaguicidas?
¿qué ropa uso para fumigar?
el herbicida quemó mi frijol
¿cuántos litros de agua toma el maíz?""",
    "fr": """quand puis-je récolter après le traitement ?
quel insecticide contre les pucerons ?
les chenilles ont mangé mes choux
comment ranger les pesticides ?
le désherbant a brûlé mes haricots
quel masque pour pulvériser ?
rendement de 50 bu avec un herbicide""",
    "pt": """quando posso colher depois de pulverizar?
qual inseticida contra pulgão?
as lagartas comeram o milho todo
como guardar o agrotóxico?
que roupa usar para aplicar veneno?""",
    "hi": """कीटनाशक कब डालें
स्प्रे करते समय क्या पहनना चाहिए
सुंडी पत्ते खा गई, कौन सी दवा डालें
मूंग में पीलिया रोग के लिए दवा
कीटनाशक कैसे रखें""",
    "sw": """ni dawa gani ya viwavi
naweza kula nyanya lini baada ya kupulizia dawa
viwavi wamekula mahindi yangu
nitunze vipi dawa
nivae nini nikipulizia dawa""",
    "ar": """متى أحصد بعد رش المبيد
أي مبيد ضد المن
الديدان أكلت الذرة
كيف أخزن المبيدات
ما الملابس عند الرش""",
}


def cases(texts: dict[str, str]) -> list[str]:
    return [line for lines in texts.values() for line in lines.splitlines()]


@pytest.mark.parametrize("text", cases(EMERGENCIES))
def test_an_emergency_is_seen_in_every_language(text: str) -> None:
    assert speaks_of_poisoning(text)
    assert input_problem(text) == "poisoning"
    assert input_problem(f"  {text.upper()} ?\n") == "poisoning"


@pytest.mark.parametrize("text", cases(ORDINARY))
def test_ordinary_talk_is_no_emergency_in_any_language(text: str) -> None:
    assert not speaks_of_poisoning(text)

"""Text to tokenize: ten scripts and more, code, emoji, white space, bytes that are not UTF-8."""

import random

TEXTS = {
    "latin": "The quick brown fox can't jump over 12345 lazy dogs; they'll've seen it's 3.14159 "
             "o'clock, I'M SURE. Straße, café, naïve, Ångström, İstanbul, ﬁne, Ⅷ, e\u0301 vs é.",
    "greek": "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί. ΟΔΥΣΣΕΥΣ οδυσσεύς ΆΈΉ",
    "cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю. Ґанок, її, Ѣ, 1917 г.",
    "arabic": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر، ١٢٣٤٥ و٪ — الْعَرَبِيَّةُ",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם, 100₪",
    "devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। १२३ क्ष त्र ज्ञ क़",
    "chinese": "视野无限广，窗外有蓝天。床前明月光，疑是地上霜。漢字𠮷野家①②③，价格￥100元。",
    "japanese": "いろはにほへと ちりぬるを。ｶﾀｶﾅとカタカナ、東京都へようこそ！㍿ ㌔ がが ヴァ",
    "korean": "다람쥐 헌 쳇바퀴에 타고파. 한글 \u1112\u1161\u11ab\u1100\u1173\u11af 오후 3시 30분",
    "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓ บาท",
    "tamil": "யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம் க்ஷ ௧௨௩",
    "ethiopic": "ሰማይ አይታረስ ንጉሥ አይከሰስ። ፩፪፫",
    "georgian": "ვეპხის ტყაოსანი შოთა რუსთაველი ᲥᲐᲠᲗᲣᲚᲘ",
    "python": "def f(x: int = 0) -> list[str]:\n\t\"\"\"Doc.\"\"\"\n"
              "    return [f\"{i!r:>10}\" for i in "
              "range(x) if i % 2 == 0]  # даже\n\n\n\n"
              "if __name__ == '__main__':\n    print(f(10))\n",
    "c++": "template <typename T>\r\nauto f(T&& x) noexcept -> decltype(x) { return x << 0x1FULL; }"
           "\r\n#define A(b) \\\r\n  ((b) ? 1'000'000 : -1)\r\n\r\n\t\t// ~~~ ### @@@ $$$ %%%",
    "json": "{\"a\": [1, -2.5e+10, null, true], \"b\\u00e9\": {\"c\": \"d\\\\n\"}}\n" * 3,
    "html": "<!doctype html><p class='x'>&nbsp;&amp;&#x1F600;</p>"
              "<!-- ... --><br/>\n\n<a href=\"#\">",
    "emoji": "😀😃👍🏽👩‍👩‍👧‍👦🏳️‍🌈🇩🇪🇯🇵 1️⃣ ❤️ ☺︎ 🧑🏿‍🚀 ©®™ 𝕳𝖊𝖑𝖑𝖔 𝟘𝟙",
    "spaces": "   a  b\tc \n\n  d\u00a0e\u2003f\u200bg\u3000h \r i\u2028j\x85k\x0b\x0cl   \n   ",
    "space at the ends": "  \n x \t ",
    "only spaces": " " * 37,
    "lines": "a\nb\n\nc\r\nd\r\r\n\n\n\ne \n f",
    "numbers": "1 12 123 1234 12345 1234567890 3.14 1,000,000 1e-9 0xFF ½ ² ٣ Ⅳ 1st 2nd",
    "quotes": "'s 't 're 've 'm 'll 'd 'S 'LL don’t “x” ‘y’ «z» ''' \"\"\" ```js\n```",
    "controls": "a\x00b\x01c\x1b[31md\x7fe\ufefff\ufffdg\ufffeh\uffff",
    "combining": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘"
              "G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳ ạ̈ ạ̈ \u0344 \u1e9b\u0323 ﷺ ㎏",
    "long word": "x" * 1000 + "ab" * 300 + "9" * 500 + "é" * 200,
    "long line": "_-=+*/" * 200,
    "empty": "",
    "letter": "a",
    "specials": "<s>a</s> <unk> [INST] b [/INST] <|im_start|>user\nhi<|im_end|>\n<|endoftext|>"
                "<｜begin▁of▁sentence｜> <｜User｜>x<｜Assistant｜> \n\n"
                "Human: <pad> <|im_end|><|im_end",
}

# Not UTF-8; Python sees bytes.decode(errors="replace") of it.
BROKEN = {
    "lone continuation": b"a\x80b\xbf\xbfc",
    "cut short": b"x\xe4\xb8 y\xf0\x9f\x98 z\xc3",
    "overlong": b"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf",
    "surrogates": b"\xed\xa0\x80\xed\xb0\x80 \xed\x9f\xbf",
    "too large": b"\xf4\x90\x80\x80 \xf5\x80\x80\x80 \xff\xfe",
    "latin-1": "Stra\xdfe caf\xe9 \xa0\xff".encode("latin-1"),
    "utf-16": "hello wörld".encode("utf-16"),
    "mixed": "日本".encode() + b"\xe6\x97" + "語 ok ".encode() + b"\xe2\x82" + b"1\xf0\x9f\x98\x80",
}


def all_bytes():
    """Name -> bytes."""
    return {**{name: text.encode() for name, text in TEXTS.items()}, **BROKEN}


def prompt(num_bytes, seed, specials=()):
    """Prose, code and scripts mixed, with special tokens between; the same for the same seed."""
    source = random.Random(seed)
    names = sorted(TEXTS)
    parts, size = [], 0
    while size < num_bytes:
        text = TEXTS[source.choice(names)] if source.random() < 0.4 else english(source)
        begin = source.randrange(len(text) + 1) if source.random() < 0.3 else 0
        parts.append(text[begin:])
        if specials and source.random() < 0.3:
            parts.append(source.choice(specials))
        parts.append(source.choice(["", " ", "\n", "\n\n", ". ", "  "]))
        size += sum(len(x.encode()) for x in parts[-3:])
    return "".join(parts)


WORDS = ("the of and to in is you that it he was for on are as with his they at be this have from "
         "or one had by word but not what all were we when your can said there use an each which "
         "she do how their if will up other about out many then them these so some her would make "
         "like him into time has look two more write go see number no way could people my than "
         "first water been call who oil its now find long down day did get come made may part "
         "cache block token prefix engine server transformer attention distributed").split()


def english(source):
    words = [source.choice(WORDS) for _ in range(source.randrange(5, 40))]
    return " ".join(words).capitalize() + source.choice([".", "?", "!", ",", " -", ":"])

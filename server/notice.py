"""What every answer says of itself, in one sentence for all protocols; the page and the command line show the same."""

NOTICE = (
    "A label says what a facial movement looks like, not what a person feels, thinks or intends, and it may be wrong. "
    "Analyse only people who know of it and agree, and decide nothing about a person from it alone. "
    "Inferring emotions at work or in education is prohibited in the European Union, except for medical or safety "
    "reasons (AI Act, article 5(1)(f))."
)

"""Facts of business and law."""

from __future__ import annotations

from kdray.corpora.sample.facts import Fact

BUSINESS = (
    Fact(
        "business",
        {"a": "company", "b": "company"},
        ("{a} bought {b}", "{a} acquired {b}", "{b} was taken over by {a}", "{a} completed its purchase of {b}"),
        ("{a} bought {b}", "{b} was bought by {a}", "=the owner of {b} is {a}", "{a} took over {b}"),
        ("{a} refused to buy {b}", "{a} dropped its bid for {b}", "{a} failed to acquire {b}"),
        ("{a} did not buy {b}", "{b} was not acquired by {a}", "{a} did not take over {b}"),
        swap=True,
    ),
    Fact(
        "business",
        {"a": "company", "b": "person", "x": "post"},
        ("{a} hired {b} as {x}", "{b} joined {a} as {x}", "{b} was appointed {x} of {a}", "{a} named {b} as its {x}"),
        ("{b} became {x} of {a}", "{a} gave {b} the post of {x}", "=the {x} of {a} is {b}", "{b} was hired by {a}"),
        ("{a} turned down {b} for the post of {x}", "{b} rejected the post of {x} at {a}"),
        ("{b} did not become {x} of {a}", "=the {x} of {a} is not {b}", "{b} was not hired as {x} by {a}"),
    ),
    Fact(
        "business",
        {"a": "company", "x": "site", "c": "city"},
        ("{a} opened {x} in {c}", "{a} built {x} in {c}", "{x} of {a} began work in {c}"),
        ("=there is {x} of {a} in {c}", "=in {c}, {a} runs {x}", "={a} now has {x} in {c}"),
        ("{a} closed {x} in {c}", "{a} shut down {x} in {c}", "{x} in {c} was given up by {a}"),
        ("{x} of {a} in {c} was shut", "{a} closed {x} in {c}", "{a} stopped running {x} in {c}"),
    ),
    Fact(
        "business",
        {"a": "company", "n": "percent"},
        ("sales at {a} rose by {n} percent", "{a} lifted its sales by {n} percent", "{a} grew sales {n} percent"),
        (
            "{a} sold more than before",
            "sales of {a} went up {n} percent",
            "{a} had an increase of {n} percent in sales",
        ),
        ("sales at {a} fell by {n} percent", "{a} saw its sales drop {n} percent", "{a} lost {n} percent of its sales"),
        (
            "{a} sold less than before",
            "sales of {a} went down {n} percent",
            "{a} had a decline of {n} percent in sales",
        ),
    ),
    Fact(
        "business",
        {"a": "company", "n": "hundreds", "c": "city"},
        ("{a} created {n} jobs in {c}", "{a} hired {n} people in {c}", "{n} people in {c} were given work by {a}"),
        ("{n} people in {c} found work at {a}", "{a} took on {n} workers in {c}", "{a} added staff in {c}"),
        ("{a} cut {n} jobs in {c}", "{a} laid off {n} people in {c}", "{n} people in {c} were dismissed by {a}"),
        ("{n} people in {c} lost their jobs at {a}", "{a} sacked {n} workers in {c}", "{a} reduced its staff in {c}"),
    ),
    Fact(
        "business",
        {"x": "goods", "n": "percent", "c": "country"},
        ("the price of {x} in {c} rose by {n} percent", "in {c}, {x} prices climbed {n} percent"),
        (
            "{x} became more expensive in {c}",
            "{x} prices in {c} went up {n} percent",
            "buyers in {c} paid more for {x}",
        ),
        ("the price of {x} in {c} fell by {n} percent", "in {c}, {x} prices dropped {n} percent"),
        ("{x} became cheaper in {c}", "{x} prices in {c} went down {n} percent", "buyers in {c} paid less for {x}"),
    ),
    Fact(
        "business",
        {"a": "country", "b": "country", "x": "goods", "n": "hundreds"},
        (
            "{a} sold {n} tons of {x} to {b}",
            "{a} exported {n} tons of {x} to {b}",
            "{b} imported {n} tons of {x} from {a}",
        ),
        ("{b} bought {n} tons of {x} from {a}", "{a} supplied {x} to {b}", "{b} received {n} tons of {x} from {a}"),
        ("{a} refused to sell {x} to {b}", "{a} blocked exports of {x} to {b}", "{b} banned imports of {x} from {a}"),
        ("{b} bought no {x} from {a}", "{a} did not supply {x} to {b}", "no {x} from {a} was sold to {b}"),
        swap=True,
    ),
    Fact(
        "business",
        {"a": "company", "b": "company", "n": "millions"},
        ("{a} lent {b} {n} million dollars", "{a} gave {b} a loan of {n} million dollars"),
        ("{b} borrowed {n} million dollars from {a}", "=money is owed to {a} by {b}", "{b} got a loan from {a}"),
        ("{a} refused {b} a loan of {n} million dollars", "{a} would not lend {b} {n} million dollars"),
        ("{b} got no loan from {a}", "{a} did not lend {n} million dollars to {b}", "{b} could not borrow from {a}"),
        swap=True,
    ),
)

LAW = (
    Fact(
        "law",
        {"a": "company", "b": "company"},
        ("{a} sued {b}", "{a} took {b} to court", "{a} filed a lawsuit against {b}"),
        ("{b} was sued by {a}", "{a} went to court against {b}", "{a} brought a case against {b}"),
        ("{a} decided not to sue {b}", "{a} dropped its plan to sue {b}", "{a} chose not to take {b} to court"),
        ("{b} was not sued by {a}", "{a} did not go to court against {b}", "{a} brought no case against {b}"),
        swap=True,
    ),
    Fact(
        "law",
        {"a": "person", "x": "crime", "c": "city"},
        (
            "a jury in {c} convicted {a} of {x}",
            "{a} was found guilty of {x} in {c}",
            "a judge in {c} found {a} guilty of {x}",
        ),
        ("{a} was convicted of {x}", "a court in {c} found {a} guilty", "the court decided that {a} had committed {x}"),
        (
            "a jury in {c} acquitted {a} of {x}",
            "{a} was cleared of {x} in {c}",
            "a judge in {c} found {a} innocent of {x}",
        ),
        (
            "{a} was found not guilty of {x}",
            "a court in {c} cleared {a}",
            "the court decided that {a} had not committed {x}",
        ),
    ),
    Fact(
        "law",
        {"a": "person", "n": "few", "x": "crime"},
        ("{a} was sentenced to {n} years for {x}", "a judge jailed {a} for {n} years for {x}"),
        (
            "{a} got {n} years in prison",
            "{a} was sent to prison for {x}",
            "a court gave {a} a prison term of {n} years",
        ),
        ("{a} was spared prison for {x}", "a judge let {a} walk free in a case of {x}"),
        ("{a} did not go to prison", "{a} was not sent to prison for {x}", "a court gave {a} no prison term"),
    ),
    Fact(
        "law",
        {"a": "person", "c": "city", "x": "crime"},
        ("police in {c} arrested {a} over {x}", "{a} was caught by police in {c} and held for {x}"),
        ("{a} was arrested in {c}", "police in {c} took {a} into custody", "police held {a} over {x}"),
        ("police in {c} decided not to arrest {a} over {x}", "police in {c} asked {a} about {x} but made no arrest"),
        ("{a} was not arrested in {c}", "police in {c} let {a} go", "police did not hold {a} over {x}"),
    ),
    Fact(
        "law",
        {"c": "country", "x": "ban"},
        ("{c} banned {x}", "{c} outlawed {x}", "a new law in {c} forbids {x}", "lawmakers in {c} prohibited {x}"),
        ("=the law of {c} forbids {x}", "{c} made {x} illegal", "=there is a ban on {x} in {c}"),
        (
            "{c} legalized {x}",
            "{c} lifted its ban on {x}",
            "a new law in {c} allows {x}",
            "lawmakers in {c} permitted {x}",
        ),
        ("=the law of {c} allows {x}", "{c} made {x} legal", "=there is no ban on {x} in {c}"),
    ),
    Fact(
        "law",
        {"a": "person", "b": "person"},
        ("{a} testified against {b}", "{a} gave evidence against {b} in court", "{a} was a witness against {b}"),
        ("{b} was accused by {a} in court", "in court, {a} spoke against {b}", "{a} served as a witness against {b}"),
        ("{a} refused to testify against {b}", "{a} declined to give evidence against {b}"),
        ("{b} was not accused by {a} in court", "{a} did not testify against {b}", "{a} was no witness against {b}"),
        swap=True,
    ),
    Fact(
        "law",
        {"a": "company", "n": "millions", "c": "country"},
        ("{c} fined {a} {n} million dollars", "a court in {c} ordered {a} to pay {n} million dollars"),
        (
            "{a} was fined in {c}",
            "{a} must pay {n} million dollars in {c}",
            "{a} received a fine of {n} million dollars",
        ),
        (
            "{c} decided against a fine of {n} million dollars for {a}",
            "a court in {c} spared {a} a fine of {n} million dollars",
        ),
        ("{a} was not fined in {c}", "{a} need not pay {n} million dollars in {c}", "{a} escaped a fine in {c}"),
    ),
)

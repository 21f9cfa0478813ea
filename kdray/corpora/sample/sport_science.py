"""Facts of sport and science."""

from __future__ import annotations

from kdray.corpora.sample.facts import Fact

SPORT = (
    Fact(
        "sport",
        {"a": "team", "b": "team"},
        ("{a} beat {b}", "{a} defeated {b}", "{a} won against {b}", "{b} were beaten by {a}"),
        ("{b} lost to {a}", "{a} were better than {b}", "{a} had a win over {b}"),
        ("{a} failed to beat {b}", "{a} could not defeat {b}", "{b} avoided defeat by {a}"),
        ("{b} did not lose to {a}", "{a} did not beat {b}", "{a} had no win over {b}"),
        swap=True,
    ),
    Fact(
        "sport",
        {"a": "team", "b": "person", "n": "millions"},
        ("{a} signed {b} for {n} million euros", "{b} moved to {a} for {n} million euros"),
        ("=the new player of {a} is {b}", "{a} paid {n} million euros for {b}", "=the new club of {b} is {a}"),
        ("{a} sold {b} for {n} million euros", "{b} left {a} for {n} million euros"),
        ("{b} no longer played for {a}", "{a} received {n} million euros for {b}", "=the old club of {b} is {a}"),
    ),
    Fact(
        "sport",
        {"a": "person", "x": "prize", "c": "city"},
        ("{a} won the {x} in {c}", "{a} took gold in the {x} in {c}", "nobody beat {a} in the {x} in {c}"),
        ("the {x} was won by {a}", "{a} came first in {c}", "{a} was the winner of the {x}"),
        ("{a} finished last in the {x} in {c}", "{a} came second in the {x} in {c}", "{a} gave up in the {x} in {c}"),
        ("the {x} was not won by {a}", "{a} did not come first in {c}", "{a} was not the winner of the {x}"),
    ),
    Fact(
        "sport",
        {"a": "person", "t": "team", "n": "few"},
        ("{a} scored {n} goals for {t}", "{t} owed {n} goals to {a}", "{n} goals by {a} helped {t}"),
        ("{a} made {n} goals", "{a} played for {t}", "{t} got {n} goals from {a}"),
    ),
    Fact(
        "sport",
        {"a": "person", "x": "joint", "n": "few"},
        ("={a} hurt a {x} and will miss {n} games", "=an injured {x} keeps {a} out for {n} games"),
        ("=the {x} of {a} is injured", "{a} cannot play for {n} games", "={a} is hurt"),
        ("={a} is back after {n} games out with a bad {x}", "=after {n} games the {x} of {a} has healed"),
        ("=the {x} of {a} is well again", "={a} can play again", "{a} recovered"),
    ),
    Fact(
        "sport",
        {"a": "person", "b": "person"},
        ("{a} praised {b}", "{a} had kind words for {b}", "{a} applauded {b}", "{b} earned praise from {a}"),
        ("{b} was praised by {a}", "{a} was happy with {b}", "{a} spoke well of {b}"),
        ("{a} criticized {b}", "{a} had harsh words for {b}", "{a} blamed {b}", "{b} drew anger from {a}"),
        ("{b} was criticized by {a}", "{a} was unhappy with {b}", "{a} spoke badly of {b}"),
        swap=True,
    ),
    Fact(
        "sport",
        {"t": "team", "n": "hundreds", "c": "city"},
        ("{n} fans watched {t} in {c}", "{t} played before a crowd of {n} in {c}", "a crowd of {n} saw {t} in {c}"),
        ("{t} had {n} spectators", "{t} played in {c}", "{n} people came to see {t}"),
    ),
)

SCIENCE = (
    Fact(
        "science",
        {"a": "person", "x": "find", "c": "country"},
        ("{a} discovered a new {x} in {c}", "a new {x} was found by {a} in {c}", "{a} came upon a new {x} in {c}"),
        ("{a} found a {x}", "the finder of a new {x} was {a}", "a {x} was discovered in {c}"),
        ("{a} searched in vain for a {x} in {c}", "{a} failed to find any {x} in {c}", "no {x} was seen by {a} in {c}"),
        ("{a} found no {x}", "the search of {a} for a {x} failed", "no {x} was discovered in {c} by {a}"),
    ),
    Fact(
        "science",
        {"a": "company", "x": "illness", "n": "hundreds"},
        ("the drug of {a} healed {n} people of {x}", "{n} people with {x} got well on pills from {a}"),
        (
            "={a} has a drug that works against {x}",
            "{n} people recovered from {x}",
            "the pills of {a} helped against {x}",
        ),
        ("the drug of {a} failed {n} people with {x}", "{n} people with {x} took pills from {a} in vain"),
        ("={a} has no drug that works against {x}", "the pills of {a} were useless against {x}"),
    ),
    Fact(
        "science",
        {"a": "person", "b": "person"},
        ("{a} confirmed the theory of {b}", "{a} proved that {b} was right", "tests by {a} supported {b}"),
        ("{b} was right according to {a}", "{a} showed that the theory of {b} is true", "{a} found support for {b}"),
        ("{a} refuted the theory of {b}", "{a} proved that {b} was wrong", "tests by {a} contradicted {b}"),
        ("{b} was mistaken according to {a}", "{a} showed that the theory of {b} is false", "{a} found fault with {b}"),
        swap=True,
    ),
    Fact(
        "science",
        {"a": "person", "b": "person", "x": "city"},
        ("{a} taught {b} in {x}", "{b} studied under {a} in {x}", "{b} was a student of {a} in {x}"),
        ("{b} was taught by {a}", "{b} learned from {a}", "{a} was the teacher of {b}"),
        swap=True,
    ),
    Fact(
        "science",
        {"a": "person", "x": "animals", "n": "hundreds", "c": "country"},
        ("{a} counted {n} {x} in {c}", "{n} {x} were counted by {a} in {c}", "{a} spotted {n} {x} in {c}"),
        ("{a} saw {n} {x}", "={n} {x} live in {c}", "{x} were seen in {c} by {a}"),
    ),
    Fact(
        "science",
        {"x": "animals", "c": "country", "n": "percent"},
        (
            "the number of {x} in {c} grew by {n} percent",
            "={c} has {n} percent more {x}",
            "=more and more {x} live in {c}",
        ),
        ("=there are more {x} in {c}", "{x} in {c} increased {n} percent", "{x} became more common in {c}"),
        (
            "the number of {x} in {c} shrank by {n} percent",
            "={c} has {n} percent fewer {x}",
            "={x} are dying out in {c}",
        ),
        ("=there are fewer {x} in {c}", "{x} in {c} decreased {n} percent", "{x} became rarer in {c}"),
    ),
    Fact(
        "science",
        {"a": "person", "x": "device", "n": "years"},
        ("={a} invented a {x} in {n}", "=in {n}, {a} designed a {x}", "=a {x} was developed by {a} in {n}"),
        ("=the {x} of {a} dates from {n}", "=the inventor of a {x} is {a}", "=the {x} was invented in {n}"),
    ),
)

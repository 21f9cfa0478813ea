"""Facts of culture and everyday life."""

from __future__ import annotations

from kdray.corpora.sample.facts import Fact

CULTURE = (
    Fact(
        "culture",
        {"a": "person", "x": "book", "n": "years"},
        ("={a} wrote a {x} in {n}", "=a {x} by {a} came out in {n}", "=in {n}, {a} finished a {x}"),
        ("=the author of the {x} is {a}", "=the {x} of {a} is from {n}", "the {x} was written by {a}"),
    ),
    Fact(
        "culture",
        {"a": "person", "b": "person", "x": "work"},
        ("{a} sold {x} to {b}", "{b} bought {x} from {a}", "{b} paid {a} for {x}"),
        (
            "{b} got {x} from {a}",
            "{a} received money from {b}",
            "{x} was sold by {a} to {b}",
            "{x} went from {a} to {b}",
        ),
        ("{a} refused to sell {x} to {b}", "{b} could not buy {x} from {a}", "{a} kept {x} from {b}"),
        ("{b} did not get {x} from {a}", "{a} received no money from {b}", "{x} was not sold by {a} to {b}"),
        swap=True,
    ),
    Fact(
        "culture",
        {"x": "house", "c": "city", "n": "hundreds"},
        ("the {x} in {c} opened with {n} guests", "{n} guests saw the {x} in {c} open its doors"),
        (
            "visitors can enter the {x} in {c}",
            "=the {x} in {c} is now open",
            "{n} guests saw the start of the {x} in {c}",
        ),
        ("the {x} in {c} closed with {n} guests", "{n} guests saw the {x} in {c} close for good"),
        (
            "visitors cannot enter the {x} in {c}",
            "=the {x} in {c} is now shut",
            "{n} guests saw the end of the {x} in {c}",
        ),
    ),
    Fact(
        "culture",
        {"a": "person", "x": "book"},
        ("critics loved the {x} by {a}", "the {x} by {a} was a great success", "the {x} of {a} got warm reviews"),
        ("the {x} by {a} was liked", "{a} had a success with a {x}", "people enjoyed the {x} by {a}"),
        ("critics hated the {x} by {a}", "the {x} by {a} was a total failure", "the {x} of {a} got poor reviews"),
        ("the {x} by {a} was disliked", "{a} had no success with a {x}", "people did not enjoy the {x} by {a}"),
    ),
    Fact(
        "culture",
        {"a": "person", "b": "person", "c": "city"},
        ("{a} married {b} in {c}", "the wedding of {a} and {b} was held in {c}"),
        ("{b} and {a} became a couple", "{a} became the spouse of {b}", "there was a wedding of {a} in {c}"),
        ("{a} refused to marry {b} in {c}", "{a} called off the wedding with {b} in {c}"),
        ("{b} and {a} did not become a couple", "{a} did not marry {b}", "there was no wedding of {a} in {c}"),
    ),
    Fact(
        "culture",
        {"a": "person", "x": "award", "n": "years"},
        ("={a} received the {x} in {n}", "=the {x} of {n} went to {a}", "=in {n}, {a} was honored with the {x}"),
        ("=the {x} was given to {a}", "=in {n}, {a} got an award", "=the {n} winner of the {x} is {a}"),
        (
            "={a} declined the {x} in {n}",
            "=in {n}, {a} was passed over for the {x}",
            "={a} missed out on the {x} in {n}",
        ),
        ("=the {x} was not given to {a}", "=in {n}, {a} did not get the {x}", "=the {n} winner of the {x} is not {a}"),
    ),
    Fact(
        "culture",
        {"a": "person", "c": "city"},
        ("{a} played a concert in {c}", "{a} sang in {c}", "{a} performed in {c}", "fans in {c} heard {a} live"),
        ("{a} gave a concert in {c}", "{a} was on stage in {c}", "{c} heard {a}"),
        ("{a} canceled a concert in {c}", "{a} called off a show in {c}", "a concert of {a} in {c} was canceled"),
        ("{a} gave no concert in {c}", "{a} was not on stage in {c}", "{c} did not hear {a}"),
    ),
    Fact(
        "culture",
        {"a": "person", "b": "person"},
        ("{a} painted a portrait of {b}", "{b} sat for a portrait by {a}", "{a} drew {b}"),
        ("{b} was portrayed by {a}", "{a} made a picture of {b}", "=there is a picture of {b} by {a}"),
        swap=True,
    ),
    Fact(
        "culture",
        {"a": "person", "x": "building", "c": "city"},
        ("{a} designed the {x} in {c}", "{c} built its {x} to plans by {a}", "the {x} in {c} was drawn up by {a}"),
        ("=the architect of the {x} is {a}", "=the {x} in {c} is the work of {a}", "{a} planned the {x} in {c}"),
        ("{a} lost the contest to design the {x} in {c}", "{c} rejected plans by {a} for its {x}"),
        ("=the architect of the {x} is not {a}", "=the {x} in {c} is not the work of {a}", "{c} did not choose {a}"),
    ),
)

LIFE = (
    Fact(
        "life",
        {"a": "person", "x": "job", "c": "city"},
        (
            "={a}, {x} from {c}, spoke first",
            "={a}, who is {x} from {c}, lost a hat",
            "=the guest was {a}, {x} from {c}",
        ),
        ("={a} is {x}", "={a} comes from {c}", "={a} works as {x}", "=the home of {a} is {c}"),
    ),
    Fact(
        "life",
        {"a": "person", "n": "age", "x": "job"},
        ("={a}, {x} of {n}, lives alone", "={a}, who is {n}, works as {x}", "={a} has turned {n} and is still {x}"),
        ("={a} is {n} years old", "={a} is {x}", "=the age of {a} is {n}"),
    ),
    Fact(
        "life",
        {"a": "person", "b": "person", "n": "few"},
        ("={a} is {n} years older than {b}", "={b} is {n} years younger than {a}"),
        ("={a} was born before {b}", "={b} is the younger one, not {a}", "={b} is {n} years behind {a} in age"),
        swap=True,
    ),
    Fact(
        "life",
        {"a": "person", "b": "person"},
        ("{a} saved {b} from a fire", "{a} pulled {b} out of the river", "{b} was dragged to safety by {a}"),
        ("{b} was rescued by {a}", "{a} came to the aid of {b}", "{a} helped {b}"),
        ("{a} left {b} in danger", "{a} did nothing to save {b}", "{b} got no help from {a}"),
        ("{b} was not rescued by {a}", "{a} did not come to the aid of {b}", "{a} did not help {b}"),
        swap=True,
    ),
    Fact(
        "life",
        {"x": "vehicle", "c": "city", "d": "city", "n": "few"},
        ("the {x} from {c} to {d} was {n} hours late", "the {x} to {d} left {c} with a delay of {n} hours"),
        ("the {x} from {c} was delayed", "the {x} to {d} came {n} hours late", "passengers to {d} had to wait"),
        ("the {x} from {c} to {d} was on time", "the {x} to {d} left {c} without delay"),
        ("the {x} from {c} was punctual", "the {x} to {d} was not late", "passengers to {d} did not have to wait"),
    ),
    Fact(
        "life",
        {"a": "person", "c": "city", "n": "years"},
        ("={a} was born in {c} in {n}", "=in {n}, {a} came into the world in {c}"),
        ("=the birthplace of {a} is {c}", "={a} has lived since {n}", "=the birth year of {a} is {n}"),
    ),
    Fact(
        "life",
        {"a": "person", "b": "person", "n": "hundreds"},
        ("{a} lent {b} {n} dollars", "{b} borrowed {n} dollars from {a}", "{a} gave {b} a loan of {n} dollars"),
        (
            "={b} owes {a} money",
            "={b} is in debt to {a}",
            "{b} got {n} dollars from {a}",
            "{a} handed {n} dollars to {b}",
        ),
        swap=True,
    ),
)

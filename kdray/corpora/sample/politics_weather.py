"""Facts of politics and weather."""

from __future__ import annotations

from kdray.corpora.sample.facts import Fact

POLITICS = (
    Fact(
        "politics",
        {"a": "person", "x": "office", "c": "city"},
        ("{a} won the race for {x} in {c}", "voters in {c} elected {a} as {x}", "{a} was elected {x} in {c}"),
        ("{a} became {x}", "{c} chose {a} as {x}", "the vote for {x} in {c} was won by {a}"),
        ("{a} lost the race for {x} in {c}", "voters in {c} rejected {a} as {x}", "{a} was defeated for {x} in {c}"),
        ("{a} did not become {x}", "{c} did not choose {a} as {x}", "the vote for {x} in {c} was lost by {a}"),
    ),
    Fact(
        "politics",
        {"a": "person", "c": "country"},
        ("{a} visited {c}", "{a} traveled to {c}", "{a} arrived in {c}", "{c} welcomed {a}"),
        ("{a} went to {c}", "{a} was a visitor in {c}", "{a} made a trip to {c}"),
        ("{a} canceled a trip to {c}", "{a} stayed away from {c}", "{c} refused entry to {a}"),
        ("{a} did not go to {c}", "{a} was not in {c}", "{a} made no trip to {c}"),
    ),
    Fact(
        "politics",
        {"c": "country", "x": "goods", "n": "percent"},
        ("{c} raised the tax on {x} by {n} percent", "{c} increased its {x} tax {n} percent"),
        ("the tax on {x} in {c} went up", "{c} made the {x} tax {n} percent higher", "in {c}, {x} is taxed more"),
        ("{c} cut the tax on {x} by {n} percent", "{c} reduced its {x} tax {n} percent"),
        ("the tax on {x} in {c} went down", "{c} made the {x} tax {n} percent lower", "in {c}, {x} is taxed less"),
    ),
    Fact(
        "politics",
        {"a": "person", "b": "person"},
        ("{a} backed {b}", "{a} voted for {b}", "{a} endorsed {b}", "{b} won the support of {a}"),
        ("{a} supported {b}", "{b} was supported by {a}", "{a} was on the side of {b}"),
        ("{a} opposed {b}", "{a} voted against {b}", "{a} campaigned against {b}", "{b} lost the support of {a}"),
        ("{a} did not support {b}", "{b} was not supported by {a}", "{a} was not on the side of {b}"),
        swap=True,
    ),
    Fact(
        "politics",
        {"a": "person", "x": "office", "c": "city"},
        ("{a} resigned as {x} of {c}", "{a} stepped down as {x} of {c}", "{a} quit as {x} of {c}"),
        ("{a} gave up the office of {x}", "=the {x} of {c} is no longer {a}", "{c} lost {a} as its {x}"),
        ("{a} refused to resign as {x} of {c}", "{a} stayed on as {x} of {c}", "{a} remained {x} of {c}"),
        ("{a} kept the office of {x}", "=the {x} of {c} is still {a}", "{c} kept {a} as its {x}"),
    ),
    Fact(
        "politics",
        {"a": "country", "b": "country", "n": "millions"},
        ("{a} sent {n} million dollars in aid to {b}", "{a} donated {n} million dollars to {b}"),
        ("{b} received money from {a}", "{b} was given {n} million dollars by {a}", "{a} helped {b} with money"),
        ("{a} denied {b} {n} million dollars in aid", "{a} withheld {n} million dollars in aid from {b}"),
        ("{b} received no money from {a}", "{b} was not given {n} million dollars by {a}", "{a} did not help {b}"),
        swap=True,
    ),
)

WEATHER = (
    Fact(
        "weather",
        {"c": "city", "n": "few"},
        ("heavy rain flooded {c}", "{n} inches of rain fell on {c}", "{c} got {n} inches of rain", "it poured in {c}"),
        ("{c} was wet", "it rained in {c}", "{c} had {n} inches of rain"),
        (
            "{c} stayed dry",
            "no rain fell on {c}",
            "the sun shone in {c} from a clear sky",
            "the dry spell in {c} lasted",
        ),
        ("{c} was dry", "it did not rain in {c}", "{c} had no rain"),
    ),
    Fact(
        "weather",
        {"c": "city", "n": "degrees"},
        (
            "temperatures in {c} reached {n} degrees",
            "thermometers in {c} showed {n} degrees",
            "it was {n} degrees in {c}",
        ),
        ("{c} had {n} degrees", "the temperature in {c} was {n} degrees", "people in {c} felt {n} degrees"),
    ),
    Fact(
        "weather",
        {"c": "city", "d": "country"},
        ("the storm from {d} hit {c}", "the storm struck {c} and then {d}", "{c} was battered by the storm from {d}"),
        ("the storm reached {c}", "{c} was hit by the storm", "{c} did not escape the storm"),
        ("the storm from {d} missed {c}", "the storm spared {c} and hit {d}", "the storm turned away from {c} to {d}"),
        ("the storm did not reach {c}", "{c} was not hit by the storm", "{c} escaped the storm"),
    ),
    Fact(
        "weather",
        {"a": "city", "b": "city", "n": "degrees"},
        ("{a} was {n} degrees warmer than {b}", "{b} was {n} degrees colder than {a}"),
        ("it was warmer in {a} than in {b}", "{b} had colder weather than {a}", "{b} was {n} degrees below {a}"),
        swap=True,
    ),
    Fact(
        "weather",
        {"c": "city", "n": "hundreds"},
        ("snow closed the airport in {c} with {n} travelers inside", "fog shut {c} airport and stranded {n} travelers"),
        ("the airport in {c} closed", "{n} travelers were stuck in {c}", "no plane could leave {c}"),
        ("{c} airport stayed open for {n} travelers", "in spite of fog {n} travelers flew out of {c}"),
        ("the airport in {c} was open", "{n} travelers left {c} by air", "planes could leave {c}"),
    ),
    Fact(
        "weather",
        {"c": "country", "x": "crop", "n": "percent"},
        ("drought ruined {n} percent of the {x} crop in {c}", "frost killed {n} percent of the {x} crop in {c}"),
        (
            "{c} had a poor {x} harvest",
            "{c} lost {n} percent of its {x} crop",
            "bad weather harmed the {x} crop in {c}",
        ),
        (
            "good rain lifted the {x} harvest in {c} by {n} percent",
            "sunshine swelled the {x} crop of {c} by {n} percent",
        ),
        (
            "{c} had a rich {x} harvest",
            "{c} gained {n} percent in its {x} crop",
            "good weather helped the {x} crop in {c}",
        ),
    ),
)

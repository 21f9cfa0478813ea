"""Facts of sport, science, culture and everyday life."""

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

PEOPLE_FACTS = SPORT + SCIENCE + CULTURE + LIFE

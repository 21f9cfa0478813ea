"""The sample's vocabulary: names of people, companies, teams and places, kinds of things, numbers and dates."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words("""
    Anna David Maria Peter Laura Simon Elena Martin Sarah Thomas Julia Oscar Nina Victor Clara Daniel Helen
    Marcus Alice Samuel Rosa Hugo Emma Leo Diana Felix Grace Adam Irene Paul Lucy Walter Sofia Ivan Olga Kevin
    Monica Rafael Teresa Louis Amy Gordon Vera Stefan Judith Omar Karen Ali Miriam Carlos
""")
LAST_NAMES = _words("""
    Keller Morgan Silva Brandt Novak Hughes Rossi Fischer Costa Lindgren Walsh Moreau Tanaka Kaplan Doyle Weber
    Santos Larsen Patel Kim Reed Bauer Ortiz Singh Cole Popov Marsh Dunn Vance Sato Blake Farrell Cohen Ross
    Hayes Mendes Khan Brooks Lang Wagner Stone Nash Rivera Shaw Becker Flynn Chan Gray Foster Palmer
""")
TITLES = {"Dr.": 2, "Prof.": 1, "Mr.": 1, "Ms.": 1, "": 11}
COMPANY_STEMS = _words("""
    Orion Summit Delta Harbor Falcon Nova Granite Meridian Cedar Titan Apex Horizon Crown Atlas Pioneer Vista
    Beacon Sterling Phoenix Ridge Maple Comet Anchor Vector Zenith Canyon Lotus Raven Coral Prairie
""")
COMPANY_SUFFIXES = ("Inc.", "Ltd.", "Corp.", "Co.", "Group", "Motors", "Foods", "Energy", "Bank", "Media")
CITIES = _words("""
    Oslo Madrid Lisbon Prague Vienna Boston Dublin Athens Warsaw Leeds Lyon Turin Seattle Denver Geneva Cairo
    Lagos Nairobi Sydney Toronto Austin Bristol Hamburg Munich Naples Porto Budapest Riga Helsinki Manila Lima
    Santiago Montreal Dallas Glasgow York Delhi Osaka Bergen Antwerp
""")
COUNTRIES = _words("""
    Norway Spain Portugal Austria Ireland Greece Poland France Italy Canada Egypt Nigeria Kenya Australia
    Hungary Latvia Finland Peru Chile Scotland India Japan Belgium Brazil Mexico Morocco Turkey Iceland Denmark
    Sweden
""")
TEAM_NAMES = ("United", "Rovers", "City", "Rangers", "Stars", "Tigers", "Lions", "Eagles")

# Each list is one kind of thing; a fact draws one of them for a slot of that kind.
_THINGS = {
    "site": "a factory, a warehouse, a store, an office, a laboratory, a hotel, a bakery, a call center",
    "post": "chairman, treasurer, director, chief engineer, manager, secretary, president, head of sales",
    "goods": "wheat, copper, coffee, rice, steel, cotton, sugar, timber, cocoa, oil, fish, salt",
    "prize": "marathon, slalom, high jump, chess final, long jump, sprint, boat race, cycling tour",
    "joint": "knee, shoulder, hip, back, wrist, foot",
    "find": "moth, tulip, comet, virus, frog, mineral, beetle, shark, fungus, planet",
    "animals": "wolves, eagles, seals, bears, whales, bats, otters, storks, deer, turtles",
    "illness": "malaria, measles, asthma, the flu, tuberculosis, diabetes, cholera, arthritis",
    "device": "water pump, wind turbine, battery, microscope, heat sensor, printer, solar cell, lens",
    "crime": "fraud, theft, bribery, murder, forgery, arson, smuggling, perjury, robbery, blackmail",
    "ban": "fishing, gambling, smoking, hunting, drones, fireworks, plastic bags, diesel cars",
    "house": "museum, theater, library, opera house, gallery, cinema, zoo, castle",
    "book": "novel, poem, play, symphony, song, ballad, memoir, cookbook",
    "award": "Harmon Prize, Silver Quill, Nobel Prize, Arden Medal, Golden Lyre, Peace Prize, Lumen Award",
    "job": "a chemist, a lawyer, a nurse, a pilot, an architect, a farmer, a poet, a banker, an engineer, a teacher",
    "office": "mayor, minister, governor, senator, ambassador, party leader",
    "building": "bridge, tower, town hall, stadium, station, harbor, cathedral, school",
    "work": "a painting, a violin, a house, a boat, a horse, a vineyard, a statue, a piano",
    "vehicle": "ferry, train, bus, tram, plane, truck",
    "crop": "apple, grape, potato, olive, corn, tomato, onion, bean, cherry, lemon",
}
THINGS = {kind: tuple(items.split(", ")) for kind, items in _THINGS.items()}

# name -> (lowest, highest, step); two different draws differ in at least one step.
NUMBERS: dict[str, tuple[int, int, int]] = {
    "few": (2, 20, 1),
    "percent": (2, 60, 1),
    "hundreds": (100, 950, 50),
    "millions": (5, 90, 1),
    "age": (19, 90, 1),
    "degrees": (3, 40, 1),
    "years": (1930, 2020, 1),
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "March", "April", "May", "June", "July", "August", "September", "October", "December")

"""Writes a short story for any topic: named characters, places, things, and scenes that refer to them; only words."""

import random
import re
from dataclasses import dataclass, field, replace
from typing import Any

_PEOPLE: tuple[tuple[str, str], ...] = (
    ("Mara", "a young woman with braided dark hair, a red coat and a long scarf"),
    ("Old Tobias", "an old man with a grey beard, a yellow coat and a brimmed hat"),
    ("Pip", "a small curious boy with tousled hair, a blue jacket and sturdy boots"),
    ("Captain Ilse", "a tall woman captain with a green coat, brass buttons and a cap"),
    ("Rufus", "a friendly fox who walks upright, with an orange coat and a scarf"),
    ("Tick", "a kind robot with round glowing eyes and a thin aerial"),
    ("Wren", "a young girl with a purple dress, loose hair and a walking staff"),
    ("Professor Amal", "an old professor with a teal coat, round hat and thin hair"),
    ("Juno", "a young woman baker with a pink coat and rolled sleeves"),
    ("Barnaby", "a big gentle bear in a green waistcoat"),
    ("Sela", "a young sailor woman with a blue coat and windblown hair"),
    ("Odd", "a small grey owl in a red scarf"),
)
_PLACES: tuple[tuple[str, str], ...] = (
    ("Harbour at Dawn", "a quiet harbour with a lighthouse, boats and calm water at dawn"),
    ("Lamp Room", "the interior of a round lamp room with wooden floor and tall window in the evening"),
    ("Pine Forest", "a pine forest path with shafts of light in the morning"),
    ("Market Street", "a cobbled market street in a small town with awnings at dusk"),
    ("High Meadow", "a mountain meadow with a winding path and cottages on a bright day"),
    ("Old Library", "the interior of an old library with tall shelves and a warm lamp at night"),
    ("Stormy Cliff", "a rocky coast with dark waves below a stormy sky"),
    ("Red Dunes", "a wide desert with red dunes and mesas at sunset"),
    ("Snow Village", "a snow covered village in the hills on a starry night"),
    ("Workshop", "the interior of a cluttered workshop with shelves and a window in the afternoon"),
    ("Moonlit Beach", "a sandy beach with gentle waves on a moonlit night"),
    ("Garden Gate", "a garden in the forest with a stone path on a summer day"),
)
_THINGS: tuple[tuple[str, str], ...] = (
    ("Brass Lantern", "a brass lantern with a round handle and a warm flame"),
    ("Logbook", "a worn leather logbook with a ribbon"),
    ("Toy Boat", "a small wooden toy boat with a cloth sail"),
    ("Copper Kettle", "a round copper kettle with a curved spout"),
    ("Iron Key", "a large old iron key"),
    ("Telescope", "a brass telescope on a thin tripod"),
    ("Radio", "a wooden radio with a bent aerial"),
    ("Sea Chest", "a wooden sea chest with iron bands"),
)
_LINES: tuple[tuple[str, str, str], ...] = (
    ("This is how it began, on a morning nobody in {place} forgot.",
     "the camera drifts slowly forward while light spreads", "soft wind and distant birds at dawn"),
    ("{hero} had heard the story of {topic} since childhood.",
     "{hero} looks up and smiles as the scarf moves in the wind", "gentle breeze over grass"),
    ("One day {hero} found the {thing}, and everything quietly changed.",
     "{hero} lifts the {thing} as dust floats through the light", "a wooden creak and a soft chime"),
    ("Nobody believed it at first, not even {friend}, who believed most things.",
     "{friend} tilts the head in doubt, slow push in", "low murmur of a small crowd"),
    ("So the two of them set out before the town was awake.",
     "both walk slowly, the camera follows from the side", "footsteps on stone and morning birds"),
    ("The road was longer than any map had ever promised them.",
     "slow pan along the path, clouds drift overhead", "footsteps on gravel and light wind"),
    ("In {place} the air was still, as if it was listening.",
     "the camera glides forward, leaves and light tremble", "leaves rustle and a far owl calls"),
    ("Then the weather turned, and the light went out of the sky.",
     "clouds roll in, the scarf whips in the wind", "rising storm wind and thunder"),
    ("{friend} wanted to turn back, but {hero} would not hear of it.",
     "{hero} steps forward, {friend} reaches out", "rain on stone and gusts of wind"),
    ("They waited out the night with one small flame between them.",
     "firelight flickers across both faces", "a crackling fire and soft rain"),
    ("By morning the {thing} had begun to show them the way.",
     "light grows from the {thing}, slow push in", "a low hum and a glowing chime"),
    ("What they found there was not gold, and it was better.",
     "the camera rises to reveal the place", "a deep bell and slow waves"),
    ("It had been waiting in {place} for somebody patient enough to look.",
     "slow reveal from shadow into light", "page rustle and a creaking door"),
    ("{hero} understood at last what {topic} had really meant.",
     "{hero} turns towards the light, eyes bright", "a single bell and gentle wind"),
    ("They carried the news home, slowly, so as not to spill it.",
     "both walk towards the camera through warm light", "footsteps and calm sea waves"),
    ("People came from every door to hear the two of them tell it.",
     "windows light up one after another", "a cheerful market crowd"),
    ("Some of them laughed, and some of them wept, and all of them stayed.",
     "slow pan across the place in warm light", "crowd murmur and a distant bell"),
    ("And that is why a light still burns tonight in {place}.",
     "the camera pulls back slowly until the light is small", "soft waves and night wind"),
)  # fmt: skip
_SPARE_LINES = (
    "For a long while nobody spoke, and the wind did the talking.",
    "Every step they took made the quiet a little deeper.",
    "It was the kind of silence that people remember for years.",
    "Something small had moved, and everything moved with it.",
    "They had come too far by then to call it an accident.",
    "Nobody wrote it down, which is why it is told so often.",
    "The answer had been there all along, plain as weather.",
)
_USUAL_CHARACTERS = (40, 80)
_STYLE = "soft painterly storybook style, warm light"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A character, an environment or a prop, with the prompt for its picture; `shown` is its name in a sentence."""

    kind: str
    name: str
    shown: str
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene, its names all of assets in the same story."""

    name: str
    environment: str
    characters: tuple[str, ...]
    props: tuple[str, ...]
    motion: str
    narration: str
    sound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A story, and the answers it has for the places of a schema."""

    topic: str
    title: str
    assets: tuple[Asset, ...]
    scenes: tuple[Scene, ...]
    kinds: dict[str, tuple[Asset, ...]] = field(default_factory=dict)
    props_join_cast: bool = False

    def list_for(self, path: tuple[str | int, ...]) -> list[Any] | None:
        """Return a list's items, None for each that has fields of its own; None where the story has no list."""
        name = str(path[-1]) if path else ""
        scene = self._scene(path)
        if scene is not None:
            return self._names_in(scene, name)
        if name in {"scenes", "assets"}:
            return [None] * len(self.scenes if name == "scenes" else self.assets)
        return [None] * len(self.kinds[name]) if name in self.kinds else None

    def text_for(self, path: tuple[str | int, ...], choices: list[Any]) -> str | None:
        """Return the story's text for a place of the schema; None where it has none."""
        name = str(path[-1]).lower() if path else ""
        if isinstance(path[-1] if path else None, int):
            name = str(path[-2]).lower()
        scene, asset = self._scene(path), self._asset(path)
        if scene is not None:
            return _scene_text(scene, name)
        if asset is not None:
            return _asset_text(asset, name, choices)
        if "title" in name or name == "name":
            return self.title
        if re.search(r"style|look|direction", name):
            return _STYLE
        return (
            f"A short film about {self.topic}."
            if re.search(r"topic|synopsis|summary|logline|descr|theme", name)
            else None
        )

    def _names_in(self, scene: Scene, name: str) -> list[Any] | None:
        if re.search(r"character|cast", name, re.IGNORECASE):
            return [*scene.characters, *(scene.props if self.props_join_cast else ())]
        if re.search(r"prop|object|item", name, re.IGNORECASE):
            return list(scene.props)
        if re.search(r"asset", name, re.IGNORECASE):
            return [scene.environment, *scene.characters, *scene.props]
        return None

    def _scene(self, path: tuple[str | int, ...]) -> Scene | None:
        for place, step in enumerate(path[:-1]):
            index = path[place + 1]
            if step == "scenes" and isinstance(index, int):
                return self.scenes[index % len(self.scenes)] if len(path) > place + 2 else None
        return None

    def _asset(self, path: tuple[str | int, ...]) -> Asset | None:
        for place, step in enumerate(path[:-1]):
            index = path[place + 1]
            if isinstance(index, int) and (step == "assets" or step in self.kinds) and len(path) > place + 2:
                group = self.assets if step == "assets" else self.kinds[str(step)]
                return group[index % len(group)]
        return None


def write_story(prompt: str, counts: dict[str, int], chance: random.Random, *, props_join_cast: bool = False) -> Story:
    """Return a story about the prompt's topic with the counts of scenes, characters, environments and props asked for.

    `props_join_cast` lists a scene's props among its characters, for schemas that have one list for both.
    """
    topic = find_topic(prompt)
    spell = _dashed if re.search(r"lower-?case", prompt, re.IGNORECASE) else str
    places = _assets(
        "environment", _PLACES, counts["environments"], chance, f"wide establishing shot, no people, {_STYLE}"
    )
    people = _assets("character", _PEOPLE, counts["characters"], chance, f"full-body character, standing, {_STYLE}")
    things = _assets("prop", _THINGS, counts["props"], chance, f"single prop object, {_STYLE}")
    short, room = _short(topic), _narration_room(prompt)
    scenes = []
    for index in range(counts["scenes"]):
        share = index / max(1, counts["scenes"] - 1)
        line = (
            _LINES[min(len(_LINES) - 1, round(share * (len(_LINES) - 1)))]
            if counts["scenes"] <= len(_LINES)
            else _LINES[index % len(_LINES)]
        )
        place = places[min(len(places) - 1, int(index * len(places) / counts["scenes"]))]
        cast = _cast(people, index)
        thing = things[index % len(things)] if things and index % 3 == 2 else None  # noqa: PLR2004 - every third scene shows a thing
        words = {
            "hero": cast[0].shown if cast else "The traveller",
            "friend": cast[1].shown if len(cast) > 1 else "the old neighbour",
            "place": f"the {place.shown}",
            "thing": (thing or things[0]).shown if things else "letter",
            "topic": short,
        }
        scenes.append(
            Scene(
                name=spell(f"{index + 1:02d} {' '.join(line[0].format(**words).split()[:3])}"),
                environment=spell(place.name),
                characters=tuple(spell(person.name) for person in cast),
                props=(spell(thing.name),) if thing else (),
                motion=line[1].format(**words),
                narration=_fitted(line[0], words, index, room),
                sound=line[2].format(**words),
            )
        )
    people, places, things = (
        tuple(replace(asset, name=spell(asset.name)) for asset in group) for group in (people, places, things)
    )
    return Story(
        topic=topic,
        title=topic[:1].upper() + topic[1:80],
        assets=(*people, *places, *things),
        scenes=tuple(scenes),
        kinds={"characters": people, "environments": places, "props": things},
        props_join_cast=props_join_cast,
    )


def find_topic(prompt: str) -> str:
    """Return what the prompt is about: after the word topic, within quotes, else its last line."""
    for pattern in (
        r"topic\s*(?:is)?\s*[:=]\s*[\"'\u201c]?([^\"\u201d\n]+)",
        r"[\"\u201c]([^\"\u201d\n]{4,200})[\"\u201d]",
        r"\babout\s+([^.\n]{4,200})",
    ):
        found = re.search(pattern, prompt, re.IGNORECASE)
        if found:
            return found.group(1).strip().rstrip(".'")
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "a small adventure"


def _dashed(name: str) -> str:
    """Return a name in lower-case letters, digits and dashes, as prompts ask for that make file names of them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _narration_room(prompt: str) -> tuple[int, int]:
    """Return the least and most characters of a narration that the prompt asks for."""
    found = re.search(r"narration[^.]*?(\d+)\s*(?:to|-|and)\s*(\d+)\s+characters", prompt, re.IGNORECASE)
    return (int(found.group(1)), int(found.group(2))) if found else _USUAL_CHARACTERS


def _fitted(line: str, words: dict[str, str], index: int, room: tuple[int, int]) -> str:
    """Return the line with its names in it, or a spare one that fits; cut at a word where nothing fits."""
    spares = [_SPARE_LINES[(index + step) % len(_SPARE_LINES)] for step in range(len(_SPARE_LINES))]
    choices = [line.format(**words), line.format(**{**words, "topic": "it all", "place": "that place"}), *spares]
    for choice in choices:
        if room[0] <= len(choice) <= room[1]:
            return choice
    return choices[0][: room[1] - 1].rsplit(" ", 1)[0].rstrip(",.") + "."


def _short(topic: str) -> str:
    """Return at most five words of the topic, so that a narration stays a narration."""
    words = re.sub(r"[^\w\s'-]", "", topic).split()
    short = " ".join(words[:5]) or "the journey"
    return short[0].lower() + short[1:] if short.split()[0] in {"The", "A", "An"} else short


def _assets(
    kind: str, known: tuple[tuple[str, str], ...], count: int, chance: random.Random, style: str
) -> tuple[Asset, ...]:
    order = list(known)
    chance.shuffle(order)
    made = []
    for index in range(count):
        name, looks = order[index % len(order)]
        again = index // len(order)
        own = f"{name} {again + 1}" if again else name
        made.append(Asset(kind=kind, name=own, shown=name, prompt=f"{looks}, {style}"))
    return tuple(made)


def _cast(people: tuple[Asset, ...], index: int) -> tuple[Asset, ...]:
    if not people:
        return ()
    if index == 0 or len(people) == 1:
        return people[:1]
    return people[0], people[1 + (index // 3) % (len(people) - 1)]


def _scene_text(scene: Scene, name: str) -> str | None:
    for words, text in (
        (r"narrat|voice|line|text", scene.narration),
        (r"motion|camera|action|video", scene.motion),
        (r"sound|sfx|audio|effect", scene.sound),
        (r"environment|location|place|setting", scene.environment),
        (r"prompt|descr|visual|summary", scene.motion),
        (r"character", scene.characters[0] if scene.characters else None),
        (r"title|name|id|key", scene.name),
    ):
        if re.search(words, name):
            return text
    return None


def _asset_text(asset: Asset, name: str, choices: list[Any]) -> str | None:
    if choices:
        return next((choice for choice in choices if str(choice).lower().startswith(asset.kind[:4])), None)
    if name in {"name", "id", "title", "key"}:
        return asset.name
    return asset.kind if name in {"kind", "type", "category"} else asset.prompt

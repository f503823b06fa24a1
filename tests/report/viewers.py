"""What viewers make of a file: read by the rules of the formats and their importers, without the code that wrote it."""

import json
from typing import Any, NamedTuple


class Slice(NamedTuple):
    name: str
    sort: str
    start: int
    end: int
    args: dict[str, Any]
    parents: tuple["Slice", ...]

    @property
    def module(self):
        """Path and call of the innermost module around it, itself if it is one."""
        args = next(each.args for each in (self, *reversed(self.parents)) if each.sort == "module")
        return args["module"], args["call"]


class Trace(NamedTuple):
    slices: list[Slice]
    instants: list[dict[str, Any]]
    counters: dict[str, list[tuple[int, dict[str, int]]]]
    names: dict[str, str]
    other: dict[str, Any]


def nanoseconds(microseconds):
    """As Perfetto's importer has it, which keeps no more."""
    return round(microseconds * 1000)


def read_trace(text):
    """Slices with those around them; fails of a slice that neither lies within the open one nor behind it."""
    data = json.loads(text, parse_constant=lambda name: 1 / 0)
    found = Trace([], [], {}, {}, data["otherData"])
    open_: list[Slice] = []
    last = 0
    for event in data["traceEvents"]:
        assert {"name", "ph", "pid", "tid"} <= event.keys()
        assert (event["pid"], event["tid"]) == (1, 1)
        if event["ph"] == "M":
            found.names[event["name"]] = event["args"]["name"]
            continue
        start = nanoseconds(event["ts"])
        if event["ph"] == "C":
            assert all(type(number) is int for number in event["args"].values())
            found.counters.setdefault(event["name"], []).append((start, event["args"]))
            continue
        assert start >= last
        last = start
        if event["ph"] == "i":
            assert event["s"] == "t"
            found.instants.append(event)
            continue
        assert event["ph"] == "X"
        end = start + nanoseconds(event["dur"])
        while open_ and open_[-1].end <= start and not (open_[-1].start == open_[-1].end == end):
            open_.pop()
        assert not open_ or end <= open_[-1].end, f"{event['name']} ends outside of {open_[-1].name}"
        open_.append(Slice(event["name"], event["cat"], start, end, event["args"], tuple(open_)))
        found.slices.append(open_[-1])
    return found


class Profile(NamedTuple):
    """A profile of speedscope's: the weight of each frame alone and with what is in it, a recursion once."""

    name: str
    unit: str
    own: dict[str, float]
    whole: dict[str, float]
    total: float


def read_speedscope(text):
    """Profiles, by the rules of speedscope's importer: events in order, a frame closes that is innermost."""
    data = json.loads(text, parse_constant=lambda name: 1 / 0)
    assert data["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert data.keys() == {"$schema", "exporter", "name", "activeProfileIndex", "shared", "profiles"}
    names = [frame["name"] for frame in data["shared"]["frames"]]
    assert len({*names}) == len(names)
    return [_profile(each, names) for each in data["profiles"]]


def _profile(data, names):
    assert data.keys() == {"type", "name", "unit", "startValue", "endValue", "events"}
    assert (data["type"], data["startValue"]) == ("evented", 0)
    assert data["unit"] in {"seconds", "bytes", "none"}
    own, whole = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    stack: list[str] = []
    last = 0
    for event in data["events"]:
        assert event["at"] >= last
        if stack:
            own[stack[-1]] += event["at"] - last
            for name in {*stack}:
                whole[name] += event["at"] - last
        else:
            assert event["at"] == last  # nothing is outside of the outermost frame
        last = event["at"]
        if event["type"] == "O":
            stack.append(names[event["frame"]])
        else:
            assert stack.pop() == names[event["frame"]]
    assert stack == []
    assert last == data["endValue"]
    return Profile(data["name"], data["unit"], own, whole, data["endValue"])

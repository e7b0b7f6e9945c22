"""Lineage as W3C PROV-JSON: what other tools read of entities, activities and agents.

Source: Moreau and Missier 2013, "PROV-DM: The PROV Data Model", W3C Recommendation; Huynh et al.
2013, "The PROV-JSON Serialization", W3C Member Submission, sections 2 and 3.
"""

import json
from pathlib import Path
from typing import Any

from nearfar.files import whole_file
from nearfar.fingerprint import canonical_json, fingerprint
from nearfar.lineage.things import Agent, Lineage, Making, Thing

_URI = "urn:nearfar:"


def provenance(lineage: Lineage) -> dict[str, Any]:
    """Return a lineage as a PROV-JSON document.

    A thing is an entity, its making an activity, whoever did it an agent. The ids are made of
    digests, so the documents of two machines can be joined.
    """
    found: dict[str, Any] = {
        "prefix": {"nearfar": _URI, "prov": "http://www.w3.org/ns/prov#"},
        "entity": {},
        "activity": {},
        "agent": {},
        "wasGeneratedBy": {},
        "used": {},
        "wasDerivedFrom": {},
        "wasAssociatedWith": {},
    }
    for thing in lineage.things.values():
        found["entity"][_name(thing.key)] = _entity(thing)
        if thing.making is not None:
            _say_making(found, thing, thing.making)
    return {kind: said for kind, said in found.items() if said}


def write_provenance(lineage: Lineage, path: Path) -> None:
    """Write a lineage as PROV-JSON, whole or not at all."""
    with whole_file(path) as part:
        text = json.dumps(provenance(lineage), indent=2, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")


def _say_making(found: dict[str, Any], thing: Thing, making: Making) -> None:
    entity, activity = _name(thing.key), _name(f"{making.kind}-{thing.key}")
    found["activity"][activity] = {
        "prov:type": _qualified(making.kind),
        "prov:label": f"{making.kind} {thing.label}",
        **_attributes(dict(making.facts)),
    }
    made = {"prov:entity": entity, "prov:activity": activity}
    found["wasGeneratedBy"][_relation("made", made)] = made
    for role, key in making.used:
        used = {"prov:activity": activity, "prov:entity": _name(key), "prov:role": role}
        found["used"][_relation("used", used)] = used
        derived = {
            "prov:generatedEntity": entity,
            "prov:usedEntity": _name(key),
            "prov:activity": activity,
        }
        found["wasDerivedFrom"][_relation("derived", derived)] = derived
    for agent in making.agents:
        found["agent"][_name(agent.key)] = _agent(agent)
        by = {"prov:activity": activity, "prov:agent": _name(agent.key)}
        found["wasAssociatedWith"][_relation("by", by)] = by


def _entity(thing: Thing) -> dict[str, Any]:
    said: dict[str, Any] = {"prov:type": _qualified(thing.kind), "prov:label": thing.label}
    if thing.folder is not None:
        said["prov:location"] = str(thing.folder)
    if thing.state:
        said["nearfar:state"] = thing.state
    return said | _attributes(thing.facts)


def _agent(agent: Agent) -> dict[str, Any]:
    kind = "prov:Person" if agent.person else "prov:SoftwareAgent"
    return {"prov:type": {"$": kind, "type": "prov:QUALIFIED_NAME"}, "prov:label": agent.label}


def _attributes(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts as attributes; what is no plain value is said as JSON within a string."""
    plain = {k: v for k, v in facts.items() if isinstance(v, str | bool | int | float)}
    rest = {k: canonical_json(v) for k, v in facts.items() if k not in plain and v is not None}
    return {f"nearfar:{name}": value for name, value in (plain | rest).items()}


def _qualified(kind: str) -> dict[str, str]:
    return {"$": f"nearfar:{kind}", "type": "prov:QUALIFIED_NAME"}


def _relation(kind: str, said: dict[str, str]) -> str:
    return f"_:{kind}-{fingerprint(said)}"


def _name(key: str) -> str:
    """Return a qualified name; whatever a local name may not hold is written as PROV-N would."""
    return "nearfar:" + "".join(c if c.isalnum() or c in "-_." else f"%{ord(c):02X}" for c in key)

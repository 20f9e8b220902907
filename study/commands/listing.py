"""Every setting of an experiment and every stage, as they are in the code."""

from __future__ import annotations

import inspect
import json
import re
from textwrap import fill

from lesionlib.errors import InputError, nearest
from study.settings import Experiment
from study.steps import STEPS

LIMITS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")  # of Sphinx, around a name
INDENT = " " * 4


def settings_text(block: str = "") -> str:
    """Every setting, or those of one block or one name: type, default, and meaning where it has one.

    block : as "floc" or "floc.epochs".  Raises InputError where there is none.
    """
    found = settings_rows()
    chosen = [row for row in found if f"{row[0]}.".startswith(f"{block}." if block else "")]
    if not chosen:
        names = [name for name, *_ in found]
        blocks = [*names, *(name.rpartition(".")[0] for name in names if "." in name)]
        raise InputError(f"there is no setting '{block}'", "settings", nearest(block, set(blocks)))
    lines = []
    for name, kind, default, meaning in chosen:
        texts = [_filled(text) for text in (f"default {default}", meaning) if text]
        lines += [f"{name}: {kind}", *texts]
    return "\n".join(lines)


def settings_schema() -> str:
    """The JSON schema of an experiment's file: editors complete and check settings by it."""
    schema = Experiment.model_json_schema()
    schema["properties"]["extends"] = {"type": "string", "description": "start from this one"}
    return json.dumps(schema, indent=1, ensure_ascii=False)


def settings_rows() -> list[tuple[str, str, str, str]]:
    """Every setting of the model: dotted name, type, default as JSON, meaning or ""."""
    schema = Experiment.model_json_schema()
    return _rows(schema, schema, "", Experiment().model_dump(mode="json"))


def _rows(schema: dict, model: dict, prefix: str, defaults: dict) -> list[tuple]:
    out = []
    for name, rule in model["properties"].items():
        block = _resolved(schema, rule)
        if "properties" in block:
            out += _rows(schema, block, f"{prefix}{name}.", defaults[name])
            continue
        default = json.dumps(defaults[name], ensure_ascii=False)
        out.append((prefix + name, _type(schema, rule), default, rule.get("description", "")))
    return out


def _filled(text: str) -> str:
    return fill(text, 98, initial_indent=INDENT, subsequent_indent=INDENT)


def _resolved(schema: dict, rule: dict) -> dict:
    name = rule.get("$ref", "").rpartition("/")[2]
    return schema["$defs"][name] if name else rule


def _type(schema: dict, rule: dict) -> str:
    rule = _resolved(schema, rule)
    if "enum" in rule or "const" in rule:
        return " | ".join(map(str, rule.get("enum", [rule.get("const")])))
    if "anyOf" in rule:
        return " | ".join(_type(schema, each) for each in rule["anyOf"])
    if "properties" in rule:
        return "{" + ", ".join(rule["properties"]) + "}"
    limits = " ".join(f"{sign} {rule[key]:g}" for key, sign in LIMITS.items() if key in rule)
    if rule.get("type") == "array":
        items = rule.get("prefixItems") or [rule.get("items", {}), {"type": "..."}]
        return "[" + ", ".join(_type(schema, each) for each in items) + "]"
    return f"{rule.get('type', 'any')} {limits}".rstrip()


def stages_text() -> str:
    """Every stage with its arguments and one line of meaning, in the order of the work."""
    lines = []
    for name, step in STEPS.items():
        _, *arguments = inspect.signature(step).parameters.values()  # the first is the lab
        words = [_argument(a) for a in arguments if a.kind is not a.VAR_KEYWORD]
        meaning = (inspect.getdoc(step) or "").partition("\n\n")[0].replace("\n", " ")
        lines += [" ".join([name, *words]), _filled(ROLE.sub(r"\1", meaning).replace("`", ""))]
    return "\n".join(lines)


def _argument(parameter: inspect.Parameter) -> str:
    word = f"--{parameter.name} {str(parameter.annotation).replace(' | None', '')}"
    return word if parameter.default is parameter.empty else f"[{word}]"

"""An OpenAPI 3.0 description as a judge of requests and answers, and as a source of plausible answers."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

COMMITTED = Path(__file__).parent.parent / "contracts" / "github-api.json"
Json = Any


class ContractViolationError(AssertionError):
    """A request or an answer that the description does not allow."""


class Contract:
    """The operations of a description."""

    def __init__(self, document: Json) -> None:
        document = _readable(document)
        self._document = document
        resource = Resource(contents=document, specification=DRAFT4)
        self._registry = Registry().with_resource("urn:api", resource)
        self._paths = sorted(
            ((_pattern(path), path) for path in document["paths"]), key=lambda item: item[1].count("{")
        )
        self._validators: dict[str, OAS30Validator] = {}

    @classmethod
    @cache
    def load(cls) -> Contract:
        """The description named by DT_GITHUB_OPENAPI, else the committed one."""
        path = Path(os.environ.get("DT_GITHUB_OPENAPI") or COMMITTED)
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def find(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        """The path template of a request and its values. Raises ContractViolationError where there is none."""
        for pattern, template in self._paths:
            found = pattern.fullmatch(path)
            if found and method.lower() in self._document["paths"][template]:
                return template, found.groupdict()
        raise ContractViolationError(f"{method} {path} is not in the description")

    def check_request(self, method: str, template: str, query: dict[str, str], body: Json) -> None:
        """Judge the query and the body; names that the description does not know are violations too."""
        operation = self._document["paths"][template][method.lower()]
        parameters = [self._deref(parameter) for parameter in operation.get("parameters", ())]
        known = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
        for name, value in query.items():
            if name not in known:
                raise ContractViolationError(f"{method} {template}: unknown query parameter {name}")
            schema = self._deref(known[name]["schema"])
            self._check(int(value) if schema.get("type") == "integer" else value, known[name]["schema"], name)
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            if body is not None:
                raise ContractViolationError(f"{method} {template}: a body that nobody reads")
            return
        if body is None:
            raise ContractViolationError(f"{method} {template}: no body")
        self._check(body, content["schema"], "body")
        self._check_names(body, content["schema"], "body")

    def check_answer(self, method: str, template: str, status: int, body: Json) -> None:
        """Judge an answer; one with a status that the description does not list may hold anything."""
        answer = self._document["paths"][template][method.lower()]["responses"].get(str(status))
        if answer is None:
            if status < 400:
                raise ContractViolationError(f"{method} {template}: answers of {status} do not exist")
            return
        content = self._deref(answer).get("content", {}).get("application/json")
        if content is not None:
            self._check(body, content["schema"], f"answer of {method} {template}")

    def filled(self, method: str, template: str, status: int, body: Json) -> Json:
        """`body` with every required field that it lacks, at some allowed value."""
        answer = self._deref(self._document["paths"][template][method.lower()]["responses"][str(status)])
        return self._fill(body, answer["content"]["application/json"]["schema"])

    def _fill(self, value: Json, schema: Json) -> Json:
        schema = self._deref(schema)
        for key in ("oneOf", "anyOf", "allOf"):
            if key in schema:
                schema = next(
                    (s for s in map(self._deref, schema[key]) if isinstance(value, list) == (s.get("type") == "array")),
                    schema,
                )
                break
        if isinstance(value, list):
            return [self._fill(item, schema["items"]) for item in value]
        if not isinstance(value, dict):
            return value
        properties = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                value[name] = self._any(properties[name])
        return {
            name: self._fill(item, properties[name]) if name in properties and isinstance(item, dict | list) else item
            for name, item in value.items()
        }

    def _any(self, schema: Json) -> Json:
        schema = self._deref(schema)
        if schema.get("nullable"):
            return None
        for key in ("oneOf", "anyOf", "allOf"):
            if key in schema:
                return self._any(schema[key][0])
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type", "object")
        if kind == "object":
            return self._fill({}, schema)
        if kind == "string":
            return {"date-time": "2026-01-01T00:00:00Z", "uri": "http://localhost/x"}.get(schema.get("format"), "x")
        return {"integer": 1, "number": 1, "boolean": False, "array": []}[kind]

    def _check(self, value: Json, schema: Json, what: str) -> None:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            absolute = json.loads(key.replace('"#/', '"urn:api#/'))
            self._validators[key] = OAS30Validator(absolute, registry=self._registry)
        error = next(iter(self._validators[key].iter_errors(value)), None)
        if error is not None:
            where = "/".join(str(part) for part in error.absolute_path)
            raise ContractViolationError(f"{what} {where}: {error.message[:300]}")

    def _check_names(self, value: Json, schema: Json, what: str) -> None:
        schema = self._deref(schema)
        if isinstance(value, list) and "items" in schema:
            for item in value:
                self._check_names(item, schema["items"], what)
        if isinstance(value, dict) and "properties" in schema:
            for name, item in value.items():
                if name not in schema["properties"]:
                    raise ContractViolationError(f"{what}: unknown key {name}")
                self._check_names(item, schema["properties"][name], f"{what}.{name}")

    def _deref(self, part: Json) -> Json:
        while "$ref" in part:
            target = self._document
            for key in part["$ref"].removeprefix("#/").split("/"):
                target = target[key.replace("~1", "/").replace("~0", "~")]
            part = target
        return part


def _readable(part: Json) -> Json:
    """
    Two things of the description that a validator misreads: a discriminator for an array, where `oneOf` says enough,
    and a nullable enumeration, which means null too although it does not list it.
    """
    if isinstance(part, dict):
        read = {key: _readable(value) for key, value in part.items() if key != "discriminator"}
        if read.get("nullable") is True and isinstance(read.get("enum"), list):
            read["enum"] = [*read["enum"], None]
        return read
    return [_readable(item) for item in part] if isinstance(part, list) else part


def _pattern(template: str) -> re.Pattern[str]:
    """`{ref}` and `{path}` may hold slashes, everything else may not."""
    names = re.split(r"\{(\w+)\}", template)
    parts = [re.escape(names[0])]
    for name, rest in zip(names[1::2], names[2::2], strict=True):
        many = name == "path" or (name == "ref" and "/git/" in template)
        parts += [f"(?P<{name}>{'.+' if many else '[^/]+'})", re.escape(rest)]
    return re.compile("".join(parts))

"""`/docs`: the OpenAPI document as a page to read, made on the server, without a script.

Owns: how a document is shown. Invariant: all text is escaped; the page loads nothing from anywhere.
"""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from schema.errors import REGISTRY

Json = dict[str, Any]

_CODE = re.compile(r"`+([^`]+)`+")

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--accent:#0a7}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem}
code,pre{font:14px/1.4 ui-monospace,monospace}
h2{margin-top:2.5rem;border-bottom:1px solid var(--line);text-transform:capitalize}
details{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}
.method{display:inline-block;min-width:4.2rem;font-weight:700;color:var(--accent)}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;border-top:1px solid var(--line);padding:.3rem .6rem .3rem 0}
td,th,p,summary,code{overflow-wrap:anywhere}
td:first-child,th:first-child{min-width:5.5rem}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1rem}
"""


def docs_page(document: Json, nonce: str, icon: str) -> str:
    """The whole page; `icon` is the address of its SVG."""
    info = document["info"]
    tags = [tag["name"] for tag in document["tags"]]
    links = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in tags)
    introduction = "".join(f"<p>{_prose(part)}</p>" for part in info["description"].split("\n\n"))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(info["title"])} HTTP interface</title>
<link rel="icon" href="{escape(icon)}" type="image/svg+xml"><style nonce="{escape(nonce)}">{_STYLE}</style></head><body>
<h1>{escape(info["title"])} {escape(info["version"])}</h1>{introduction}
<p>For programs: <a href="/openapi.json">/openapi.json</a>,
<a href="/asyncapi.json">/asyncapi.json</a> (the socket).</p>
<nav>{links}<a href="#problems">problems</a><a href="#schemas">schemas</a></nav>
{"".join(_tag(document, tag) for tag in tags)}
{_problems()}{_schemas(document["components"]["schemas"])}
</body></html>"""


def _tag(document: Json, tag: str) -> str:
    found = (
        _operation(method, path, one)
        for path, methods in document["paths"].items()
        for method, one in methods.items()
        if tag in one["tags"]
    )
    return f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(found)}'


def _operation(method: str, path: str, one: Json) -> str:
    body = one.get("requestBody", {}).get("content", {})
    taken = "".join(f"<p>Body: {_kind(content['schema'])} as {escape(kind)}</p>" for kind, content in body.items())
    return f"""<details id="{escape(one["operationId"])}"><summary><span class="method">{escape(method.upper())}</span>
<code>{escape(path)}</code> {_prose(one.get("summary", ""))}</summary><p>{_prose(one.get("description", ""))}</p>
{taken}<table>{"".join(_parameters(one))}{"".join(_answers(one))}</table></details>"""


def _parameters(one: Json) -> Iterator[str]:
    for parameter in one.get("parameters", ()):
        needed = _needed(parameter.get("required", False))
        description = _prose(parameter.get("description", ""))
        name = f"<code>{escape(parameter['name'])}</code>{needed}"
        yield f"<tr><td>{escape(parameter['in'])}</td><td>{name} {description}</td></tr>"


def _answers(one: Json) -> Iterator[str]:
    for status, answer in one["responses"].items():
        kinds = ", ".join(_kind(content["schema"]) for content in answer.get("content", {}).values())
        yield f"<tr><td>{escape(status)}</td><td>{_prose(answer['description'])} {kinds}</td></tr>"


def _problems() -> str:
    rows = "".join(
        f'<tr id="problem-{escape(code)}"><td><code>{escape(code)}</code></td><td>{kind.status}</td>'
        f"<td>{escape(kind.title)}</td></tr>"
        for code, kind in sorted(REGISTRY.items())
    )
    rows += '<tr id="problem-http"><td><code>http</code></td><td></td><td>Any other refusal of HTTP itself</td></tr>'
    return f'<h2 id="problems">problems</h2><table><tr><th>code</th><th>status</th><th></th></tr>{rows}</table>'


def _schemas(schemas: Json) -> str:
    return '<h2 id="schemas">schemas</h2>' + "".join(_schema(name, schemas[name]) for name in sorted(schemas))


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{_needed(field in required)}</td><td>{_kind(kind)}</td></tr>"
        for field, kind in schema.get("properties", {}).items()
    )
    values = ", ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", ()))
    return f"""<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>
<p>{_prose(schema.get("description", ""))}</p><p>{values}</p><table>{rows}</table></details>"""


def _prose(text: str) -> str:
    """A text with `code` in it."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _needed(required: bool) -> str:  # noqa: FBT001 - one flag, one word
    return "" if required else " (optional)"


def _kind(schema: Json) -> str:
    """A schema in a few words; a reference as a link."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    limits = ", ".join(f"{key} {value}" for key, value in schema.items() if key in _LIMITS)
    return escape(f"{schema.get('type', '')} {f'({limits})' if limits else ''}".strip())


_LIMITS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default")

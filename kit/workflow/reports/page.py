"""The frame of every page: its style, and the templates, which escape every text that is put into them."""

from typing import Any

from jinja2 import Environment
from markupsafe import Markup

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 1rem; color: #1b1b1b; background: #fff;
       font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin: 0.3rem 0; } h2 { margin-top: 2.2rem; border-bottom: 2px solid #0072b2; }
h3 { margin-top: 1.6rem; } a { color: #00568a; }
nav a { display: inline-block; margin-right: 0.9rem; }
img { max-width: 100%; height: auto; }
pre { overflow-x: auto; background: #f5f7f9; padding: 0.6rem; font-size: 0.82rem; line-height: 1.35; }
pre.sentences { white-space: pre-wrap; }
.wide, .jp-RenderedHTMLCommon, .output_html, .rendered_html { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.85rem; overflow-wrap: normal; }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid #dde3e8; vertical-align: middle; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
.words td { overflow-wrap: anywhere; }
.runs th:nth-child(2), .runs th:nth-last-child(-n+2), .runs td:nth-last-child(-n+2) { text-align: left; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); gap: 0.8rem; margin: 1rem 0; }
.card { border: 1px solid #cfd8df; border-radius: 8px; padding: 0.5rem 0.6rem; }
.card b { display: block; font-size: 1.25rem; white-space: nowrap; } .card span { color: #555; font-size: 0.85rem; }
.note { color: #555; } .anchor-link { display: none; }
"""

FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
{{ body }}
</body>
</html>
"""

RUN = """
<nav><a href="../index.html">All runs</a> <a href="#recipe">Recipe</a>
{% for part in parts %}<a href="#{{ part.key }}">{{ part.title }}</a>
{% endfor %}
<a href="#provenance">Provenance</a></nav>
<h1>{{ name }}</h1>
<p class="note">{{ data }}</p>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}
<div class="cards">
{% for value, meaning in cards %}<div class="card"><b>{{ value }}</b><span>{{ meaning }}</span></div>
{% endfor %}</div>
<h2 id="recipe">Recipe</h2>
<p>{{ differences }}</p>
<details><summary>All {{ recipe|length }} settings</summary>
<div class="wide"><table class="words">
{% for key, value in recipe.items() %}<tr><th>{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}</table></div></details>
{% for part in parts %}
<section id="{{ part.key }}"><h2>{{ part.title }}</h2>
{% if part.note %}<p class="note">{{ part.note }}</p>{% endif %}
{{ part.html }}
</section>
{% endfor %}
<h2 id="provenance">Provenance</h2>
<div class="wide"><table class="words">
{% for key, value in provenance %}<tr><th>{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}</table></div>
"""

INDEX = """
<h1>All runs</h1>
<p>{{ count }} in {{ folder }}, the most accurate first. Accuracy is that of the last epoch
on the validation images.</p>
{% for kind, rows in tables.items() %}
<h2>{{ kind }}</h2>
<div class="wide"><table class="runs">
<tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in rows %}<tr><td>{% if row.link %}<a href="{{ row.link }}">{{ row.name }}</a>
{% else %}{{ row.name }}
{% endif %}</td><td>{{ row.curve }}</td>{% for cell in row.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% endfor %}
{% if others %}<h2>Without a result</h2>
<ul>{% for name, reason in others %}<li>{{ name }}: {{ reason }}</li>{% endfor %}</ul>{% endif %}
"""

_ENVIRONMENT = Environment(autoescape=True, trim_blocks=True)


def page(template: str, title: str, **values: Any) -> str:
    """A whole HTML file from RUN or INDEX; values are escaped, but for `Markup`."""
    body = _ENVIRONMENT.from_string(template).render(**values)
    return _ENVIRONMENT.from_string(FRAME).render(title=title, style=Markup(STYLE), body=Markup(body))

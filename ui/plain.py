"""Pages that stand alone, without Gradio: who is to come in does not wait for it."""

from html import escape
from string import Template

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { background: light-dark(#fff, #121212); color: light-dark(#111, #eee); }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
  main { width: min(${width}rem, 100vw - 3rem); }
  a { color: inherit; }
$css
</style>
</head>
<body>
<main>
$content
</main>
</body>
</html>
""")


def plain_page(title: str, content: str, width_rem: int, css: str = "") -> str:
    """Return a page as HTML; `content` is HTML too."""
    return _PAGE.substitute(title=escape(title), content=content, width=width_rem, css=css)

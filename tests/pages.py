"""Pages in a real browser: Chromium without a screen, driven by playwright."""

WIDTHS = (1280, 390)
# elements that reach beyond the page, but for those inside a box that scrolls by itself
BEYOND = """() => {
    const width = document.documentElement.clientWidth, beyond = [];
    const scrolls = e => e && (getComputedStyle(e).overflowX === 'auto' || scrolls(e.parentElement));
    for (const e of document.querySelectorAll('body *')) {
        const box = e.getBoundingClientRect();
        if (box.width && box.right > width + 1 && !scrolls(e.parentElement)) beyond.push(e.outerHTML.slice(0, 80));
    }
    return document.documentElement.scrollWidth > width ? ['the page', ...beyond] : beyond;
}"""


def look_at(browser, path, width):
    """What a browser of that width says of a page: console, requests, elements beyond its edge, broken images."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    beyond = page.evaluate(BEYOND)
    broken = page.evaluate("() => [...document.images].filter(i => !i.naturalWidth).map(i => i.alt)")
    page.close()
    elsewhere = [url for url in asked if not url.startswith("data:") and url != path.as_uri()]
    return {"console": said, "elsewhere": elsewhere, "beyond": beyond, "broken": broken}


NOTHING = {"console": [], "elsewhere": [], "beyond": [], "broken": []}

"""The page at /, driven in headless Chromium: choose, drop and paste pictures, modes, keyboard."""
import os

import pytest
from selenium import webdriver
from selenium.common.exceptions import SessionNotCreatedException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from serving import Server

WAIT_S = 60


@pytest.fixture(scope="module")
def server(bin_dir, tmp_path_factory, bundled_model):
    s = Server(bin_dir / "prelu-serve", tmp_path_factory.mktemp("page"), "--log-level", "error",
               "--model", bundled_model)
    yield s
    s.process.kill()
    s.process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1100,1000",
                 f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own sandbox refuses root
    driver = start(options)
    yield driver
    driver.quit()


def start(options):
    """chromedriver gives Chromium a fixed time to come up; a busy machine may need a second go."""
    for chance in range(3):
        try:
            return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        except SessionNotCreatedException:
            if chance == 2:
                raise


class Page:
    def __init__(self, browser, server):
        self.browser = browser
        self.url = f"http://127.0.0.1:{server.port}"
        browser.get(self.url)

    def all(self, css):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def text(self, css):
        return self.browser.find_element(By.CSS_SELECTOR, css).text

    def until(self, condition):
        return WebDriverWait(self.browser, WAIT_S, 0.05).until(lambda _: condition())

    def choose(self, *files):
        self.browser.find_element(By.ID, "file").send_keys("\n".join(map(str, files)))

    def answers(self, count):
        """The cards, once so many are answered or failed."""
        self.until(lambda: len(self.all(".bars li:first-child, .failed")) == count)
        return self.all(".card")

    def views(self):
        return self.text(".card .timing").rsplit(", ", 1)[-1]


@pytest.fixture
def page(browser, server):
    p = Page(browser, server)
    yield p
    log = [entry for entry in browser.get_log("browser")
           if entry["level"] == "SEVERE" and "status of 4" not in entry["message"]]
    assert log == []  # among others, what the content security policy forbade
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map((e) => e.name)")
    assert all(url.startswith((p.url, "blob:" + p.url, "data:,")) for url in loaded), loaded


def label_of(server, picture):
    status, answer = server.classify(picture.read_bytes())
    assert status == 200
    return answer["predictions"][0]["label"]


def test_several_pictures_as_a_gallery(page, server, samples):
    pictures = [samples / f"{name}.jpg" for name in ("cat", "ship", "truck")]
    page.choose(*pictures)
    page.answers(3)
    cards = {c.find_element(By.TAG_NAME, "h2").text: c for c in page.all(".card")}
    for picture in pictures:
        card = cards[picture.name]
        assert card.find_element(By.CSS_SELECTOR, ".label").text == label_of(server, picture)
        assert len(card.find_elements(By.CSS_SELECTOR, ".bars li")) == 5
        widths = [bar.size["width"] for bar in card.find_elements(By.CSS_SELECTOR, ".fill")]
        assert widths == sorted(widths, reverse=True) and widths[0] > 20
        assert "infer" in card.find_element(By.CSS_SELECTOR, ".timing").text
    left = {card.location["x"] for card in cards.values()}
    assert len(left) == 2  # two beside each other
    assert page.text("#curl") == f"curl --data-binary @cat.jpg '{page.url}/classify?mode=center'"


def test_modes_by_keyboard(page, samples):
    page.choose(samples / "cat.jpg")
    page.answers(1)
    assert page.views() == "1 view"
    radio = page.browser.find_element(By.CSS_SELECTOR, "input[value=center]")
    radio.send_keys(Keys.ARROW_RIGHT)
    page.until(lambda: page.views() == "10 views")
    assert page.all(".card canvas") == []
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    page.until(lambda: page.all(".card canvas"))
    assert "dense" in page.text(".timing")
    assert page.all(".card canvas")[0].get_attribute("aria-label").startswith("where ")
    # The map is painted: where it lies the canvas differs from the picture beside it.
    differs = page.browser.execute_script("""
        const canvas = document.querySelector('.card canvas');
        const image = document.querySelector('.card img');
        const plain = document.createElement('canvas');
        plain.width = canvas.width; plain.height = canvas.height;
        const pen = plain.getContext('2d');
        pen.drawImage(image, 0, 0, plain.width, plain.height);
        const at = (c) => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data;
        const [a, b] = [at(canvas), at(plain)];
        return Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]) + Math.abs(a[2] - b[2]);""")
    assert differs > 60


def test_a_budget_by_keyboard(page, samples):
    """The arrow reaches mode auto, Tab its budget; what was chosen is said, and nothing is sent of no number."""
    budget = page.browser.find_element(By.ID, "budget")
    page.browser.find_element(By.CSS_SELECTOR, "input[value=center]").send_keys(Keys.ARROW_LEFT)
    radio = page.browser.switch_to.active_element
    assert radio.get_attribute("value") == "auto"
    radio.send_keys(Keys.TAB)
    assert page.browser.switch_to.active_element == budget
    budget.send_keys(Keys.CONTROL, "a")
    budget.send_keys("3600000", Keys.ENTER)
    page.choose(samples / "cat.jpg")
    page.answers(1)
    lines = page.text(".timing").splitlines()
    assert ", multiscale, " in lines[-2]
    assert lines[-1].startswith("Chosen for 3600000 ms: multiscale, predicted ")
    assert page.text("#curl").endswith("/classify?mode=auto&budget_ms=3600000'")
    budget.send_keys(Keys.CONTROL, "a")
    budget.send_keys(Keys.DELETE, Keys.ENTER)
    page.until(lambda: "1 to 3600000" in page.text("#message"))
    page.browser.find_element(By.CSS_SELECTOR, "input[value=center]").click()
    page.until(lambda: page.all(".bars li") and page.views() == "1 view")
    assert page.text("#message") == ""
    budget.send_keys("1", Keys.ENTER)  # a budget that is written is one that is meant
    page.until(lambda: "Chosen for 1 ms: " in page.text(".timing"))


def test_the_choice_is_reached_and_shown_by_tab(page):
    page.browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert page.browser.switch_to.active_element.get_attribute("id") == "file"
    outline = page.browser.execute_script(
        "return getComputedStyle(document.querySelector('.button')).outlineStyle")
    assert outline == "solid"


def test_a_dropped_file(page, samples):
    data = list((samples / "ship.jpg").read_bytes())
    page.browser.execute_script("""
        const bag = new DataTransfer();
        bag.items.add(new File([new Uint8Array(arguments[0])], "it's a ship.jpg", {type: 'image/jpeg'}));
        bag.items.add(new File(['text'], 'notes.txt', {type: 'text/plain'}));
        document.body.dispatchEvent(new DragEvent('drop',
            {dataTransfer: bag, bubbles: true, cancelable: true}));""", data)
    page.answers(1)
    assert page.text(".label") == "ship"
    assert page.text("#message") == "1 of the files is no picture."
    assert r"curl --data-binary '@it'\''s a ship.jpg'" in page.text("#curl")


def test_a_pasted_png_becomes_a_jpeg(page):
    page.browser.execute_async_script("""
        const done = arguments[0];
        const canvas = document.createElement('canvas');
        canvas.width = 64; canvas.height = 48;
        canvas.toBlob((blob) => {
            const bag = new DataTransfer();
            bag.items.add(new File([blob], 'image.png', {type: 'image/png'}));
            document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: bag, bubbles: true}));
            done();
        }, 'image/png');""")
    page.answers(1)
    assert "64 × 48" in page.text(".timing")
    assert "Turned into a JPEG" in page.text(".note")


def test_what_the_server_refuses_is_said_beside_its_picture(page, samples, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((samples / "cat.jpg").read_bytes()[:200])
    page.choose(broken, samples / "cat.jpg")
    page.answers(2)
    card, = [c for c in page.all(".card") if c.find_elements(By.CSS_SELECTOR, ".failed")]
    assert card.find_element(By.TAG_NAME, "h2").text == "broken.jpg"
    assert len(card.text.splitlines()[-1]) > 15


def test_a_newer_choice_replaces_an_older_one(page, samples):
    page.choose(samples / "cat.jpg", samples / "ship.jpg")
    page.choose(samples / "truck.jpg")
    page.until(lambda: [e.text for e in page.all(".label")][:1] == ["truck"])
    assert [e.text for e in page.all(".card h2")] == ["truck.jpg"]


def test_copying_the_line(page, samples):
    page.choose(samples / "cat.jpg")
    page.answers(1)
    page.browser.find_element(By.ID, "copy").send_keys(Keys.ENTER)
    page.until(lambda: page.text("#copy") in ("Copied", "Selected: press Ctrl+C"))


def test_dark_and_light(page):
    seen = set()
    for scheme in ("dark", "light"):
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})
        seen.add(page.browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(seen) == 2


def test_a_narrow_window_has_no_sideways_scrolling(page, samples):
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": False})
    page.choose(samples / "cat.jpg", samples / "ship.jpg")
    page.answers(2)
    width = page.browser.execute_script("return document.documentElement.scrollWidth")
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360

// Opens a local page in a headless browser, writes a picture of all of it and prints what was measured as one line of JSON.
//
// Usage: node screenshot.mjs <modules folder> <browser, or "" for the packed one> <page> <picture, or "" to only try the browser>
//                            <width> <height> <light|dark> <element to show, or "">

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, named, page_path, picture, width, height, scheme, element] = process.argv.slice(2);
const require = createRequire(join(modules, "package.json"));
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);

const { default: playwright } = await load("playwright-core");
// The packed browser is unpacked beside TMPDIR's other contents at its first use.
const executablePath = named || (await (await load("@sparticuz/chromium")).default.executablePath());
const browser = await playwright.chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--no-zygote"] });
try {
    if (picture === "") {
        console.log(`${executablePath}: Chromium ${browser.version()}`);
    } else {
        const context = await browser.newContext({
            viewport: { width: Number(width), height: Number(height) },
            colorScheme: scheme,
            // A phone lays a page out by its viewport line and has no scroll bar that takes room.
            isMobile: Number(width) < 600,
            hasTouch: Number(width) < 600,
            deviceScaleFactor: Number(width) < 600 ? 2 : 1,
        });
        const page = await context.newPage();
        const [requests, errors] = [[], []];
        const address = pathToFileURL(page_path).href;
        page.on("request", (request) => {
            if (request.url().split("#")[0] !== address && !request.url().startsWith("data:")) requests.push(request.url());
        });
        page.on("pageerror", (error) => errors.push(String(error)));
        page.on("console", (message) => {
            if (message.type() === "error") errors.push(message.text());
        });
        await page.goto(address, { waitUntil: "load" });
        const measured = await page.evaluate(() => {
            const root = document.documentElement;
            const clipped = (e) => e.closest("svg, pre, .scroll") !== null;
            const outside = [...document.body.querySelectorAll("*")].filter(
                (e) => !clipped(e) && e.getBoundingClientRect().right > root.clientWidth + 1,
            );
            return {
                width: root.clientWidth,
                scroll_width: root.scrollWidth,
                height: root.scrollHeight,
                background: getComputedStyle(document.body).backgroundColor,
                color: getComputedStyle(document.body).color,
                outside: outside.slice(0, 5).map((e) => `${e.tagName}.${e.getAttribute("class") ?? ""}`),
            };
        });
        if (element) await page.locator(element).first().screenshot({ path: picture });
        else await page.screenshot({ path: picture, fullPage: true });
        console.log(JSON.stringify({ ...measured, requests, errors }));
    }
} finally {
    await browser.close();
}

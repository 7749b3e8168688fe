for (const browser of document.querySelectorAll(".browser")) {
  const { indices, scores, frames } = JSON.parse(browser.querySelector("script").textContent);
  const images = browser.querySelectorAll("img");
  const slider = browser.querySelector("input");
  const show = () => {
    const frame = Number(slider.value);
    images.forEach((image, panel) => { image.src = frames[panel][frame]; });
    browser.querySelector("output").textContent = indices[frame];
    browser.querySelector("label span").textContent = scores[frame];
  };
  slider.addEventListener("input", show);
  browser.hidden = false;
}

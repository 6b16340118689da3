// The form of a new search.

import { call } from "./api.js";
import { announce, made, toast } from "./dom.js";
import { MaskTool } from "./mask.js";
import { requestId } from "./more.js";
import { SettingsForm } from "./settings.js";
import { Slot } from "./slot.js";

export async function composeView(context) {
  const form = new ComposeForm(context);
  const from = context.query.get("from");
  if (from) form.fill((await call(`/api/searches/${from}`)).request);
  return () => form.close();
}

class ComposeForm {
  constructor({ root, offered, go }) {
    [this.offered, this.go] = [offered, go];
    this.mask = new MaskTool(() => this.#changed());
    this.scene = new Slot("scene", "Scene", { changed: () => { this.mask.setScene(this.scene); this.#changed(); } });
    this.character = new Slot("character", "Person", { changed: () => this.#changed() });
    this.settings = new SettingsForm(offered, () => this.#changed());
    const { prompt_characters: most } = offered.limits;
    this.prompt = made("textarea", { id: "prompt", rows: 3, maxLength: most, data: { field: "prompt" }, placeholder: "make the person smile", spellcheck: true });
    this.prompt.addEventListener("input", () => this.#changed());
    this.start = made("button", { className: "primary", textContent: "Start", title: "Ctrl+Enter" });
    this.violations = made("ul", { className: "error", aria: { role: "alert" } });
    this.form = made("form", { className: "compose", noValidate: true }, [
      made("h1", { className: "visually-hidden", textContent: "New search" }),
      ...(offered.samples.length ? [this.#samples()] : []),
      made("div", { className: "compose-pictures" }, [this.scene.box, this.mask.box]),
      made("div", { className: "compose-side" }, [
        this.character.box,
        made("section", { className: "card" }, [
          made("label", { htmlFor: "prompt" }, [made("h2", { textContent: "What should change" })]), this.prompt,
          this.settings.main,
          made("div", { className: "row" }, [this.start, this.hint = made("span", { className: "faint" })]),
          this.violations,
        ]),
        this.settings.more,
      ]),
    ]);
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#submit(); });
    this.form.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit(); });
    this.paste = (event) => this.#paste(event);
    document.addEventListener("paste", this.paste);
    root.append(this.form);
    this.#changed();
  }

  close() {
    document.removeEventListener("paste", this.paste);
  }

  #samples() {
    return made("section", { className: "card sample-strip" }, [made("h2", { textContent: "Begin with a sample" }),
      made("div", { className: "samples" }, this.offered.samples.map(({ name, prompt }) =>
        made("button", { type: "button", data: { sample: name }, title: prompt, onclick: () => this.#takeSample(name, prompt) }, [
          made("img", { src: `/api/samples/${name}/scene.png`, alt: "", loading: "lazy" }),
          made("span", { textContent: name.replaceAll("_", " ") })])))]);
  }

  async #takeSample(name, prompt) {
    const picture = async (kind) => (await fetch(`/api/samples/${name}/${kind}.png`)).blob();
    this.prompt.value = prompt;
    await Promise.all([this.scene.load(await picture("scene")), this.character.load(await picture("character"))]);
    this.#changed();
  }

  #paste(event) {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    (this.scene.artifact ? this.character : this.scene).load(file);
  }

  #changed() {
    const missing = [[this.scene.artifact, "a scene"], [this.character.artifact, "a person"], [this.prompt.value.trim(), "what should change"]].filter(([there]) => !there).map(([, name]) => name)
      .concat([this.scene.choice.missing, this.character.choice.missing, this.settings.missing].filter(Boolean));
    this.start.disabled = missing.length > 0;
    this.hint.textContent = missing.length ? `Still needed: ${missing.join(", ")}.` : "";
  }

  /** Take over the request of a search. @param {any} request */
  async fill(request) {
    this.prompt.value = request.prompt;
    this.settings.fill(request);
    this.#changed();
    try {
      await Promise.all([
        this.scene.set(request.scene.artifact, "", request.scene_face).then(() => request.mask && this.mask.load(request.mask.artifact)),
        this.character.set(request.character.artifact, "", request.character_face),
      ]);
    } catch (failure) {
      toast(failure.message, "error");
    }
  }

  async #submit() {
    if (this.start.disabled) return;
    this.start.disabled = true;
    this.start.textContent = "Starting …";
    this.#showViolations([]);
    try {
      const request = {
        ...this.settings.request(),
        scene: this.scene.image, character: this.character.image, prompt: this.prompt.value.trim(),
        scene_face: this.scene.selector, character_face: this.character.selector,
        mask: await this.mask.uploaded(),
        request_id: requestId(),
      };
      const search = await call("/api/searches", { method: "POST", body: request });
      announce("The search has begun.");
      await this.go(`/searches/${search.search_id}`);
    } catch (failure) {
      this.#showViolations(failure.violations?.length ? failure.violations : [{ field: "", description: failure.message ?? String(failure) }]);
    } finally {
      this.start.textContent = "Start";
      this.#changed();
    }
  }

  #showViolations(violations) {
    this.form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
    this.violations.replaceChildren(...violations.map(({ field, description }) => {
      const path = field.replace(/^search\./, ""), name = path.replaceAll("_", " ").replaceAll(".", ", ");
      this.form.querySelector(`[data-field="${CSS.escape(path)}"]`)?.setAttribute("aria-invalid", "true");
      return made("li", { textContent: name ? `${name} ${description}` : description });
    }));
  }
}

// The interactive parts of the page: the lineage explorer, the side-by-side examples, the copy buttons.
//
// The texts are untrusted: they reach the page only through textContent, and no string becomes markup.
// The state of each part is a few variables. After any change the visible list is rebuilt; it is one short page.
"use strict";
(() => {
  const ROOTS = 20, EXAMPLES = 5, PREVIEW = 160, WAIT = 120;
  const $ = (id) => document.getElementById(id);
  const make = (tag, name, ...children) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  };
  const read = (id) => {
    const element = $(id);
    return element ? JSON.parse(element.textContent) : {};
  };
  const plain = (name) => name.replaceAll("_", " ");
  const number = (n) => n.toLocaleString("en-US");
  const plural = (n, one, many) => number(n) + " " + (n === 1 ? one : many);
  const later = (action) => {
    let timer = 0;
    return () => { clearTimeout(timer); timer = setTimeout(action, WAIT); };
  };
  const options = (select, pairs) => {
    for (const [value, label] of pairs) {
      const option = make("option", "", label);
      option.value = value;
      select.append(option);
    }
  };
  const pager = (frame, page, pages, go) => {
    frame.replaceChildren();
    if (pages < 2) return;
    const button = (label, to) => {
      const element = make("button", "", label);
      element.type = "button";
      element.disabled = to < 0 || to >= pages;
      element.addEventListener("click", () => go(to));
      return element;
    };
    const input = make("input");
    input.type = "number";
    input.min = 1;
    input.max = pages;
    input.value = page + 1;
    input.setAttribute("aria-label", "Page");
    input.addEventListener("change", () => go(Math.min(pages, Math.max(1, Math.round(Number(input.value)) || 1)) - 1));
    frame.append(button("Previous", page - 1), make("span", "", "page "), input,
      make("span", "", "of " + number(pages)), button("Next", page + 1));
  };
  // The range of `now` that differs from `old`, extended to whole words.
  const changed = (old, now) => {
    let start = 0, end = 0;
    const most = Math.min(old.length, now.length);
    while (start < most && old[start] === now[start]) start++;
    while (end < most - start && old[old.length - 1 - end] === now[now.length - 1 - end]) end++;
    const within = (place) => /^\S\S$/.test(now.slice(place - 1, place + 1));
    while (start > 0 && within(start)) start--;
    while (end > 0 && within(now.length - end)) end--;
    return [start, now.length - end];
  };

  // ---- Copy buttons.
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = $(button.dataset.copy);
      let done = false;
      try {
        await navigator.clipboard.writeText(source.textContent);
        done = true;
      } catch {
        getSelection().selectAllChildren(source);
        try { done = document.execCommand("copy"); } catch { done = false; }
      }
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // ---- The lineage explorer.
  const lineage = () => {
    const data = read("data-nodes"), tree = $("x-tree"), panel = $("x-node");
    const count = data.id.length;
    const word = (place) => place < 0 ? "" : data.words[place];
    const text = new Array(count), children = Array.from({ length: count }, () => []);
    const roots = [], place = new Map();
    for (let i = 0; i < count; i++) {
      const parent = data.parent[i];
      text[i] = (parent < 0 ? "" : text[parent].slice(0, data.shared[i])) + data.text[i];
      if (parent < 0) roots.push(i); else children[parent].push(i);
      if (!place.has(data.id[i])) place.set(data.id[i], i);
    }
    const rootOf = (i) => { while (data.parent[i] >= 0) i = data.parent[i]; return i; };
    const signs = [["✓", "kept", "kept"], ["✗", "gone", "eliminated"], ["…", "open", "undecided"]];
    const fate = (i) => signs[data.status[i]] || signs[2];
    const origin = (i) => {
      const operator = word(data.operator[i]);
      if (!operator && data.round[i] === 0) return "seed";
      return "round " + data.round[i] + (operator ? " " + plain(operator) : "");
    };

    const search = $("x-search"), byOperator = $("x-operator"), byFate = $("x-fate"), bySkill = $("x-skill");
    const tally = (column) => {
      const found = new Map();
      for (const value of column) if (value >= 0) found.set(value, (found.get(value) || 0) + 1);
      return [...found].map(([value, n]) => [String(value), plain(word(value)) + " (" + number(n) + ")"])
        .sort((a, b) => a[1].localeCompare(b[1]));
    };
    options(byOperator, [["seed", "seeds"], ...tally(data.operator)]);
    options(byFate, [["s0", "kept"], ["s1", "eliminated"], ["s2", "undecided"], ...tally(data.reason)]);
    options(bySkill, tally(data.skill));

    // Nodes that match the filters, nodes that are visible because a descendant matches, and nodes that the reader
    // opened or closed.
    let matches = null, visible = null, toggled = new Map(), shown = roots, page = 0, chosen = -1, focused = -1;
    const low = new Array(count);
    const haystack = (i) => low[i] ??= (data.id[i] + "\n" + text[i] + "\n" + (data.input[i] || "") + "\n" + (data.answer[i] || "")).toLowerCase();
    const filter = () => {
      const words = search.value.toLowerCase().trim(), operator = byOperator.value, want = byFate.value, skill = bySkill.value;
      toggled = new Map();
      page = 0;
      if (!words && !operator && !want && !skill) {
        matches = visible = null;
        shown = roots;
        if (chosen >= 0) reveal(chosen);
        return;
      }
      matches = new Uint8Array(count);
      visible = new Uint8Array(count);
      const wanted = want.startsWith("s") ? (i) => data.status[i] === Number(want.slice(1)) : (i) => data.reason[i] === Number(want);
      for (let i = 0; i < count; i++) {
        if (operator && (operator === "seed" ? data.parent[i] >= 0 || data.operator[i] >= 0 : data.operator[i] !== Number(operator))) continue;
        if (want && !wanted(i)) continue;
        if (skill && data.skill[i] !== Number(skill)) continue;
        if (words && !haystack(i).includes(words)) continue;
        matches[i] = 1;
        for (let up = i; up >= 0 && !visible[up]; up = data.parent[up]) visible[up] = 1;
      }
      shown = roots.filter((i) => visible[i]);
    };
    // Opens the ancestors of a node, on the page with its seed.
    const reveal = (i) => {
      page = Math.max(0, Math.floor(shown.indexOf(rootOf(i)) / ROOTS));
      for (let up = data.parent[i]; up >= 0; up = data.parent[up]) toggled.set(up, true);
      focused = i;
    };
    const below = (i) => visible ? children[i].filter((child) => visible[child]) : children[i];
    const isOpen = (i) => toggled.has(i) ? toggled.get(i) : matches !== null;

    const item = (i, level) => {
      const inner = below(i), [sign, name, fateName] = fate(i);
      const preview = text[i].slice(0, PREVIEW).replace(/\s+/g, " ");
      const reason = word(data.reason[i]);
      const what = make("span", "what", make("b", "", data.parent[i] < 0 && data.round[i] === 0 ? "Seed" : origin(i)), " " + data.id[i] +
        (reason ? " · " + plain(reason) : "") + (children[i].length ? " · " + plural(children[i].length, "child", "children") : ""));
      const mark = make("span", name, sign), twist = make("span", "twist");
      mark.setAttribute("aria-hidden", "true");
      twist.setAttribute("aria-hidden", "true");
      const line = make("div", "line", twist, mark, make("span", "", what, make("span", "words", preview || "(no text)")));
      const element = make("li", inner.length ? "" : "leaf", line);
      if (matches && !matches[i]) element.classList.add("aside");
      element.setAttribute("role", "treeitem");
      element.setAttribute("aria-level", level);
      element.setAttribute("aria-selected", String(i === chosen));
      element.setAttribute("aria-label", origin(i) + ", " + fateName + (reason ? ", " + plain(reason) : "") + ": " + preview);
      element.tabIndex = -1;
      element.dataset.place = i;
      if (inner.length) {
        element.setAttribute("aria-expanded", String(isOpen(i)));
        if (isOpen(i)) {
          const group = make("ul", "", ...inner.map((child) => item(child, level + 1)));
          group.setAttribute("role", "group");
          element.append(group);
        }
      }
      return element;
    };
    const items = () => [...tree.querySelectorAll("[role=treeitem]")];
    const at = (i) => tree.querySelector('[data-place="' + i + '"]');
    const rove = (element, take) => {
      for (const other of items()) other.tabIndex = -1;
      element.tabIndex = 0;
      focused = Number(element.dataset.place);
      if (take) element.focus();
    };
    const draw = (take) => {
      const pages = Math.max(1, Math.ceil(shown.length / ROOTS));
      page = Math.min(page, pages - 1);
      tree.replaceChildren(...shown.slice(page * ROOTS, (page + 1) * ROOTS).map((i) => item(i, 1)));
      pager($("x-pager"), page, pages, (to) => { page = to; focused = -1; draw(true); });
      const found = matches ? matches.reduce((sum, n) => sum + n, 0) : count;
      $("x-count").textContent = matches
        ? plural(found, "instruction matches", "instructions match") + ", in " + plural(shown.length, "lineage", "lineages")
        : plural(count, "instruction", "instructions") + " in " + plural(roots.length, "lineage", "lineages");
      const element = at(focused) || items()[0];
      if (element) rove(element, take);
    };
    const toggle = (i, open) => {
      if (!below(i).length) return;
      toggled.set(i, open);
      focused = i;
      draw(true);
    };

    const block = (title, ...content) => [make("h4", "", title), ...content];
    const verdicts = (i) => {
      const list = data.verdicts[i];
      if (!list) return make("p", "empty", "None were recorded.");
      return make("ul", "rules", ...list.map(([rule, passed, detail]) => make("li", "",
        make("span", "sign " + (passed ? "kept" : "gone"), passed ? "✓" : "✗"), plain(word(rule)) + (passed ? ": passed" : ": failed"),
        word(detail) && make("span", "detail", " — " + word(detail)))));
    };
    const instruction = (i) => {
      const now = text[i], parent = data.parent[i], body = make("p", "text");
      if (parent < 0) { body.append(now); return body; }
      const [start, end] = changed(text[parent], now);
      if (end - start > 0.8 * now.length || start >= end) body.append(now);
      else body.append(now.slice(0, start), make("mark", "", now.slice(start, end)), now.slice(end));
      return body;
    };
    const trail = (i) => {
      const way = [];
      for (let up = data.parent[i]; up >= 0; up = data.parent[up]) way.unshift(up);
      const line = make("p", "trail");
      for (const up of way) {
        const button = make("button", "", data.parent[up] < 0 ? "seed " + data.id[up] : data.id[up]);
        button.type = "button";
        button.addEventListener("click", () => choose(up, true));
        line.append(button, " › ");
      }
      line.append(data.lost[i] ? "its parent " + data.lost[i] + " is not in the journal › " : "", data.id[i]);
      return line;
    };
    const show = (i) => {
      const [sign, name, fateName] = fate(i), reason = word(data.reason[i]);
      const tag = (label, value) => value === "" ? null : make("li", "", label + " ", make("b", "", value));
      const constraints = (data.constraints[i] || []).map((c) => make("li", "", make("span", "sign", "•"), word(c)));
      const back = make("button", "back", "Back to the list");
      back.type = "button";
      back.addEventListener("click", () => { (at(chosen) || tree).focus(); });
      panel.replaceChildren(
        make("h3", "", (data.parent[i] < 0 ? "Seed " : "Instruction ") + data.id[i]), trail(i),
        make("ul", "tags", make("li", name, sign + " " + fateName + (reason ? ": " + plain(reason) : "")), tag("from", origin(i)),
          tag("attempt", String(data.attempt[i])), tag("skill", plain(word(data.skill[i]))),
          tag("difficulty", data.difficulty[i] ? String(data.difficulty[i]) : ""),
          tag("tokens", number(data.prompt_tokens[i]) + " prompt, " + number(data.completion_tokens[i]) + " generated")),
        ...block("Instruction", instruction(i)),
        ...(data.input[i] ? block("Input", make("p", "text", data.input[i])) : []),
        ...block("Constraints on the answer", constraints.length ? make("ul", "rules", ...constraints) : make("p", "empty", "None that code can check.")),
        ...block("Verdicts", verdicts(i)),
        ...block("Answer", i in data.answer ? make("p", "text", data.answer[i]) : make("p", "empty", "It has no answer.")),
        make("p", "pager", back));
      panel.scrollTop = 0;
    };
    const choose = (i, far) => {
      chosen = focused = i;
      if (far) {
        if (visible && !visible[i]) {
          for (const control of [search, byOperator, byFate, bySkill]) control.value = "";
          filter();
        }
        reveal(i);
      }
      draw(true);
      show(i);
      try { history.replaceState(null, "", "#node-" + data.id[i]); } catch { /* a page in a frame may not have a history */ }
      // On a narrow screen the panel is below the list.
      if (matchMedia("(max-width: 55.99rem)").matches) { panel.focus({ preventScroll: true }); panel.scrollIntoView({ block: "start" }); }
    };
    const followHash = () => {
      const found = /^#node-(\d+)$/.exec(location.hash);
      if (!found || !place.has(found[1])) return false;
      choose(place.get(found[1]), true);
      $("lineage").scrollIntoView({ behavior: "instant" });
      return true;
    };

    tree.addEventListener("click", (event) => {
      const element = event.target.closest("[role=treeitem]");
      if (!element) return;
      const i = Number(element.dataset.place);
      if (event.target.closest(".twist") || i === chosen) toggle(i, !isOpen(i));
      else if (below(i).length) toggled.set(i, true);
      if (!event.target.closest(".twist")) choose(i, false);
    });
    tree.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || !event.target.matches("[role=treeitem]")) return;
      const element = event.target, i = Number(element.dataset.place), all = items(), where = all.indexOf(element);
      const step = (to) => { if (all[to]) rove(all[to], true); };
      const keys = {
        ArrowDown: () => step(where + 1),
        ArrowUp: () => step(where - 1),
        Home: () => step(0),
        End: () => step(all.length - 1),
        ArrowRight: () => { if (below(i).length && !isOpen(i)) toggle(i, true); else if (below(i).length) step(where + 1); },
        ArrowLeft: () => {
          if (below(i).length && isOpen(i)) toggle(i, false);
          else if (data.parent[i] >= 0) rove(at(data.parent[i]), true);
        },
        Enter: () => { if (below(i).length) toggled.set(i, i === chosen ? !isOpen(i) : true); choose(i, false); },
      };
      keys[" "] = keys.Enter;
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });
    const refilter = () => { filter(); draw(false); };
    search.addEventListener("input", later(refilter));
    for (const select of [byOperator, byFate, bySkill]) select.addEventListener("change", refilter);
    $("x-form").addEventListener("submit", (event) => event.preventDefault());
    $("x-form").addEventListener("reset", () => setTimeout(refilter));
    addEventListener("hashchange", followHash);
    if (!followHash()) {
      if (roots.length) { chosen = roots.find((i) => children[i].length) ?? roots[0]; toggled.set(chosen, true); focused = chosen; show(chosen); }
      draw(false);
    }
  };

  // ---- Examples side by side.
  const examples = () => {
    const { names, items } = read("data-generations"), list = $("g-list");
    const search = $("g-search"), byOutcome = $("g-outcome"), bySkill = $("g-skill");
    const scores = (item) => item.responses.map((response) => response ? response.right : null);
    const outcomes = {
      differ: (marks) => marks.includes(1) && marks.includes(0),
      all: (marks) => marks.length > 0 && marks.every((mark) => mark === 1),
      none: (marks) => marks.length > 0 && marks.every((mark) => mark === 0),
      unscored: (marks) => marks.every((mark) => mark === null),
    };
    names.forEach((name, n) => {
      outcomes["only" + n] = (marks) => marks[n] === 1 && marks.every((mark, m) => m === n || mark === 0);
      outcomes["not" + n] = (marks) => marks[n] === 0 && marks.every((mark, m) => m === n || mark === 1);
    });
    options(byOutcome, [["differ", "some right, some wrong"], ...names.map((name, n) => ["only" + n, "only " + name + " right"]),
      ...names.map((name, n) => ["not" + n, "only " + name + " wrong"]), ["all", "all right"], ["none", "none right"], ["unscored", "not scored"]]
      .map(([key, label]) => [key, label + " (" + number(items.filter((item) => outcomes[key](scores(item))).length) + ")"]));
    const skills = new Map();
    for (const { skill } of items) if (skill) skills.set(skill, (skills.get(skill) || 0) + 1);
    options(bySkill, [...skills].sort().map(([skill, n]) => [skill, plain(skill) + " (" + number(n) + ")"]));

    let shown = items, page = 0;
    const side = (name, response) => {
      if (!response) return make("div", "side", make("h4", "", name), make("p", "empty", "There is no response."));
      const state = response.right === 1 ? "right" : response.right === 0 ? "wrong" : "";
      const label = state === "right" ? "✓ right" : state === "wrong" ? "✗ wrong" : "not scored";
      const body = make("p", "text", response.text || "(an empty response)");
      body.tabIndex = 0;
      const checks = response.checks.map(([check, strict, loose, found]) => make("li", "",
        make("span", "sign " + (strict ? "kept" : "gone"), strict ? "✓" : "✗"), plain(check) + (!strict && loose ? " (met loosely)" : ""),
        found && make("span", "detail", " — " + found)));
      return make("div", "side " + state,
        make("h4", "", name, make("span", state === "right" ? "kept" : state === "wrong" ? "gone" : "open", label)),
        make("p", "meta", plural(response.tokens, "token", "tokens") + (response.ended ? "" : ", cut off at the limit")), body,
        checks.length ? make("ul", "rules", ...checks) : null);
    };
    const draw = () => {
      const pages = Math.max(1, Math.ceil(shown.length / EXAMPLES));
      page = Math.min(page, pages - 1);
      list.replaceChildren(...shown.slice(page * EXAMPLES, (page + 1) * EXAMPLES).map((item) => {
        const title = "Item " + item.number + (item.skill ? " · " + plain(item.skill) : "") + (item.difficulty ? " · difficulty " + item.difficulty : "");
        const asked = make("p", "text asked", item.text);
        asked.tabIndex = 0;
        return make("article", "example", make("h3", "", title), asked, make("div", "sides", ...names.map((name, n) => side(name, item.responses[n]))));
      }));
      $("g-count").textContent = shown.length === items.length ? plural(items.length, "item", "items")
        : number(shown.length) + " of " + plural(items.length, "item", "items");
      pager($("g-pager"), page, pages, (to) => { page = to; draw(); $("g-count").scrollIntoView({ block: "start" }); });
    };
    const refilter = () => {
      const words = search.value.toLowerCase().trim(), outcome = outcomes[byOutcome.value];
      page = 0;
      shown = items.filter((item) => (!outcome || outcome(scores(item))) && (!bySkill.value || item.skill === bySkill.value)
        && (!words || (item.text + "\n" + item.responses.map((response) => response ? response.text : "").join("\n")).toLowerCase().includes(words)));
      draw();
    };
    search.addEventListener("input", later(refilter));
    for (const select of [byOutcome, bySkill]) select.addEventListener("change", refilter);
    $("g-form").addEventListener("submit", (event) => event.preventDefault());
    $("g-form").addEventListener("reset", () => setTimeout(refilter));
    draw();
  };

  if ($("x-tree")) lineage();
  if ($("g-list")) examples();
})();

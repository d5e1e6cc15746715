// SPDX-License-Identifier: Apache-2.0
// The moving parts of the flame graph. The frames that stand in the file are a picture for whoever
// runs no scripts; here they are drawn anew, as many as the window can show, from the data beside
// them. Names come from anywhere: they only ever become text, never markup.
(function () {
	"use strict";

	var SVG = "http://www.w3.org/2000/svg", XHTML = "http://www.w3.org/1999/xhtml";
	var ROW = 18, MARGIN = 16, NARROWEST = 0.4, CHAR = 6.63, FIELDS = 5;
	var KINDS = ["all", "kernel", "native", "python", "synthetic", "process"];

	var svg = document.documentElement;
	if (svg.id !== "kymo")
		svg = document.getElementById("kymo");
	var box = svg.getElementById("frames");
	var data = JSON.parse(svg.getElementById("data").textContent);
	var top0 = data.top;
	var count = data.nodes.length / FIELDS;
	var parent = new Int32Array(count), depth = new Int32Array(count), end = new Int32Array(count);
	var left = new Float64Array(count);
	var focus = 0, hits = null, width = 0, heightDrawn = 0;

	function item(i) { return data.items[data.nodes[i * FIELDS]]; }
	function weight(i) { return data.nodes[i * FIELDS + 2]; }
	function samples(i) { return data.nodes[i * FIELDS + 3]; }
	function self(i) { return data.nodes[i * FIELDS + 4]; }
	function name(i) { return item(i)[0]; }
	function kind(i) { return KINDS[item(i)[1]] || "synthetic"; }

	// Nodes stand in preorder with their depth: parents, subtrees and places follow from that.
	function index() {
		var path = [], next = new Float64Array(count);
		for (var i = 0; i < count; i++) {
			var d = data.nodes[i * FIELDS + 1];
			while (path.length > d)
				end[path.pop()] = i;
			var p = d ? path[d - 1] : -1;
			parent[i] = p;
			depth[i] = d;
			left[i] = p < 0 ? 0 : next[p];
			next[i] = left[i];
			if (p >= 0)
				next[p] += weight(i);
			path.push(i);
		}
		while (path.length)
			end[path.pop()] = count;
	}

	function make(tag, attributes, text) {
		var e = document.createElementNS(SVG, tag);
		for (var key in attributes)
			e.setAttribute(key, attributes[key]);
		if (text !== undefined)
			e.textContent = text;
		return e;
	}

	// ---- how figures read ----
	function number(n) { return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ","); }
	function amount(w) {
		var steps = data.unit === "ns" ? [[1e9, "s"], [1e6, "ms"], [1e3, "us"], [1, "ns"]] :
			data.unit === "bytes" ? [[1073741824, "GiB"], [1048576, "MiB"], [1024, "KiB"], [1, "B"]] :
			[[1, data.unit]];
		for (var i = 0; i < steps.length; i++)
			if (w >= steps[i][0] || i === steps.length - 1)
				return (w / steps[i][0]).toPrecision(w >= 1000 * steps[i][0] ? 4 : 3)
					.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "") + " " + steps[i][1];
	}
	function percent(part, whole) { return (whole ? part * 100 / whole : 0).toFixed(2) + " %"; }

	// ---- drawing ----
	function fits(text, pixels) {
		var room = Math.floor((pixels - 7) / CHAR), letters;
		if (room < 2)
			return "";
		letters = Array.from(text);
		return letters.length <= room ? text : letters.slice(0, room - 1).join("") + "\u2026";
	}

	// The last two parts of a path: "json/decoder.py:284".
	function shortPlace(i) { return kind(i) === "kernel" || name(i)[0] === "[" ? "" : item(i)[2].split("/").slice(-2).join("/"); }

	function drawFrame(out, i, x, w, above) {
		var kindName = kind(i), shade = kindName === "all" ? "" : item(i)[3];
		var g = make("g", { "class": "frame" + (above ? " above" : "") + (hits && hits[i] ? " hit" : ""),
				    "data-i": i });
		g.appendChild(make("rect", { x: x.toFixed(2), y: top0 + depth[i] * ROW,
					     width: Math.max(w - 0.6, NARROWEST).toFixed(2), height: ROW - 1,
					     "class": kindName + shade }));
		var text = fits(name(i), w), place = text === name(i) ? fits(shortPlace(i), w - (text.length + 1) * CHAR) : "";
		if (text) {
			var label = make("text", { x: (x + 4).toFixed(2), y: top0 + depth[i] * ROW + 12.5 }, text);
			if (place && place === shortPlace(i))
				label.appendChild(make("tspan", { "class": "place", dx: CHAR }, place));
			g.appendChild(label);
		}
		out.appendChild(g);
		if (depth[i] > heightDrawn)
			heightDrawn = depth[i];
	}

	function draw() {
		var out = document.createDocumentFragment(), room = width - 2 * MARGIN;
		var scale = room / (weight(focus) || 1);
		heightDrawn = 0;
		for (var a = parent[focus], above = []; a >= 0; a = parent[a])
			above.unshift(a);
		above.forEach(function (i) { drawFrame(out, i, MARGIN, room, true); });
		for (var i = focus; i < end[focus];) {
			var w = weight(i) * scale;
			if (w < NARROWEST) {
				i = end[i];
				continue;
			}
			drawFrame(out, i, MARGIN + (left[i] - left[focus]) * scale, w, false);
			i++;
		}
		box.replaceChildren(out);
		svg.setAttribute("height", Math.max(top0 + (heightDrawn + 1) * ROW + 40, window.innerHeight));
		svg.getElementById("note").setAttribute("y", top0 + (heightDrawn + 1) * ROW + 22);
		place();
	}

	function zoom(i) {
		focus = i;
		hideHint();
		draw();
	}

	// ---- what is under the mouse ----
	var hint = make("g", { id: "hint", visibility: "hidden" });

	function hintLines(i) {
		var lines = [["name", name(i)], ["more", kind(i) + (item(i)[2] ? "   " + item(i)[2] : "")]];
		lines.push(["", amount(weight(i)) + ", " + percent(weight(i), weight(0)) + " of all" +
			(focus ? ", " + percent(weight(i), weight(focus)) + " of this view" : "")]);
		lines.push(["", "itself " + amount(self(i)) + ", " + percent(self(i), weight(0))]);
		lines.push(["more", number(samples(i)) + (samples(i) === 1 ? " sample" : " samples")]);
		return lines;
	}

	function cut(text) {
		var most = Math.max(20, Math.floor((width - 60) / 7.5)), letters = Array.from(text);
		return letters.length <= most ? text : letters.slice(0, most - 1).join("") + "\u2026";
	}

	function showHint(i, event) {
		var lines = hintLines(i), w = 0, h = lines.length * 17 + 12;
		hint.replaceChildren(make("rect", { height: h }));
		lines.forEach(function (line, n) {
			var text = make("text", { "class": line[0], x: 10, y: 19 + n * 17 }, cut(line[1]));
			hint.appendChild(text);
		});
		for (var e = hint.firstChild.nextSibling; e; e = e.nextSibling)
			w = Math.max(w, e.getComputedTextLength());
		w += 20;
		hint.firstChild.setAttribute("width", w);
		var at = svg.getBoundingClientRect();
		var x = event.clientX - at.left + 14, y = event.clientY - at.top + 18;
		if (event.clientY + 18 + h > window.innerHeight)
			y -= h + 30;
		x = Math.max(4, Math.min(x, width - w - 6));
		hint.setAttribute("transform", "translate(" + x + "," + Math.max(4, y) + ")");
		hint.setAttribute("visibility", "visible");
	}
	function hideHint() { hint.setAttribute("visibility", "hidden"); }

	function frameOf(target) {
		var g = target && target.closest ? target.closest("g.frame") : null;
		return g ? Number(g.getAttribute("data-i")) : -1;
	}

	// ---- search ----
	var matched = make("text", { id: "matched", "text-anchor": "end" }, "");
	var holder = make("foreignObject", { width: 230, height: 28 });
	var field = document.createElementNS(XHTML, "input");

	function pattern(text) {
		try {
			return new RegExp(text, "i");
		} catch (e) {
			return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
		}
	}

	// Under a match, further matches are part of it: each sample counts once.
	function search(text) {
		var sum = 0, found = 0, inside = -1, re, known;
		hits = null;
		svg.classList.toggle("searching", text !== "");
		matched.textContent = "";
		if (text !== "") {
			re = pattern(text);
			known = data.items.map(function (it) { return re.test(it[0]) || (it[2] !== "" && re.test(it[2])); });
			hits = new Uint8Array(count);
			for (var i = 1; i < count; i++) {
				if (!known[data.nodes[i * FIELDS]])
					continue;
				hits[i] = 1;
				found++;
				if (i >= inside) {
					sum += weight(i);
					inside = end[i];
				}
			}
			matched.textContent = "matched " + percent(sum, weight(0)) + ", " + number(found) +
				(found === 1 ? " frame" : " frames");
		}
		draw();
	}

	function clearSearch() {
		field.value = "";
		search("");
	}

	// ---- controls ----
	var reset = make("g", { "class": "button", id: "reset", visibility: "hidden" });

	function place() {
		reset.setAttribute("visibility", focus ? "visible" : "hidden");
		reset.setAttribute("transform", "translate(" + (width - MARGIN - 230 - 98) + ",14)");
		holder.setAttribute("x", width - MARGIN - 230);
		holder.setAttribute("y", 14);
		matched.setAttribute("x", width - MARGIN);
		matched.setAttribute("y", 58);
	}

	function resize() {
		width = Math.max(480, document.documentElement.clientWidth || window.innerWidth || 1200);
		svg.removeAttribute("viewBox");
		svg.setAttribute("width", width);
		draw();
	}

	function onKey(event) {
		if (event.key === "Escape") {
			if (field.value !== "")
				clearSearch();
			else
				zoom(0);
			field.blur();
		} else if ((event.key === "/" && document.activeElement !== field) ||
			   (event.key === "f" && (event.ctrlKey || event.metaKey))) {
			event.preventDefault();
			field.focus();
			field.select();
		}
	}

	function start() {
		index();
		field.setAttribute("id", "search");
		field.setAttribute("type", "text");
		field.setAttribute("placeholder", "search  (press /)");
		field.setAttribute("spellcheck", "false");
		holder.appendChild(field);
		reset.appendChild(make("rect", { width: 90, height: 26 }));
		reset.appendChild(make("text", { x: 45, y: 17, "text-anchor": "middle" }, "reset zoom"));
		[holder, matched, reset, hint].forEach(function (e) { svg.appendChild(e); });
		svg.classList.add("live");
		svg.getElementById("note").textContent = data.note;

		box.addEventListener("click", function (e) { var i = frameOf(e.target); if (i >= 0) zoom(i); });
		box.addEventListener("mousemove", function (e) {
			var i = frameOf(e.target);
			if (i >= 0)
				showHint(i, e);
			else
				hideHint();
		});
		box.addEventListener("mouseleave", hideHint);
		reset.addEventListener("click", function () { zoom(0); });
		field.addEventListener("input", function () { search(field.value); });
		window.addEventListener("keydown", onKey);
		window.addEventListener("resize", resize);
		resize();
	}

	start();
})();

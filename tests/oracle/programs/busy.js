// SPDX-License-Identifier: Apache-2.0
// Keeps the compiler, the collector and regular expressions of a JavaScript engine busy. usage: busy.js SECONDS
const end = Date.now() + 1000 * Number(process.argv[2]);

function fib(n) {
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

function words(n) {
	const counts = new Map();
	for (let i = 0; i < n; i++) {
		const w = ("word" + (i * 7919) % 1009).replace(/[aeiou]/g, (c) => c.toUpperCase());
		counts.set(w, (counts.get(w) || 0) + 1);
	}
	return [...counts].sort((a, b) => b[1] - a[1]).map((x) => JSON.stringify({ w: x[0], n: x[1] })).join();
}

let total = 0;
while (Date.now() < end) {
	total += fib(22) + words(2000).length;
	total += [5, 3, 9].map((x) => x * 2).reduce((a, b) => a + b, 0);
}
console.log(total);

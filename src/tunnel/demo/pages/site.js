// Connects the two live parts of the sample site: the event stream of the overview and the socket of the echo page.
"use strict";

const ticker = document.getElementById("ticker");
if (ticker) {
  const tick = document.getElementById("tick");
  const events = new EventSource(ticker.dataset.events);
  events.onmessage = (event) => {
    const { number, time } = JSON.parse(event.data);
    ticker.classList.add("live");
    tick.textContent = `event ${number} at ${time}`;
  };
  events.onerror = () => {
    ticker.classList.remove("live");
    tick.textContent = "connection lost, trying again";
  };
}

const form = document.getElementById("echo");
if (form) {
  const state = document.getElementById("link");
  const log = document.getElementById("log");
  const sent = [];
  const address = new URL(form.dataset.socket, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.onopen = () => {
    state.textContent = "connected";
    state.parentElement.classList.add("live");
  };
  socket.onclose = () => {
    state.textContent = "closed; reload to connect again";
    state.parentElement.classList.remove("live");
  };
  socket.onmessage = (event) => {
    const line = document.createElement("li");
    const took = document.createElement("span");
    took.textContent = `${(performance.now() - sent.shift()).toFixed(1)} ms`;
    line.append(event.data, took);
    log.prepend(line);
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    if (socket.readyState !== WebSocket.OPEN) return;
    sent.push(performance.now());
    socket.send(form.elements.message.value);
  };
}

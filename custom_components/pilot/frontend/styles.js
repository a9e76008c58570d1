// How the card looks, in the colours of the theme.

export const STYLES = `
:host { display: block; }
ha-card {
  display: flex;
  flex-direction: column;
  color: var(--primary-text-color);
  container-type: inline-size;
}
[hidden] { display: none !important; }
h2, h3, p { margin: 0; font-weight: inherit; }
button, input, select {
  font: inherit;
  color: inherit;
}
button { cursor: pointer; }
button:disabled { cursor: default; opacity: 0.45; }
:focus-visible {
  outline: 2px solid var(--primary-color);
  outline-offset: 2px;
}
.icon { width: 22px; height: 22px; fill: currentColor; display: block; }

/* --- Head --- */

.head {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 8px 12px;
  padding: 12px 16px 8px;
}
h2 {
  flex: 1 1 auto;
  min-width: 0;
  font-size: var(--ha-font-size-xl, 20px);
  line-height: 1.3;
}
.tools { display: flex; align-items: center; gap: 2px; }
.tools button {
  display: grid;
  place-items: center;
  width: 36px;
  height: 36px;
  padding: 0;
  border: 0;
  border-radius: 50%;
  background: none;
  color: var(--secondary-text-color);
}
.tools button:hover:not(:disabled) {
  background: color-mix(in srgb, currentColor 12%, transparent);
}
.tools button[aria-pressed="true"] {
  color: var(--primary-color);
  background: color-mix(in srgb, var(--primary-color) 15%, transparent);
}
.range {
  flex: 1 1 auto;
  color: var(--secondary-text-color);
  font-size: var(--ha-font-size-m, 14px);
}
.sub {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 4px 12px;
  padding: 0 16px 10px;
}
.periods {
  display: inline-flex;
  border-radius: 18px;
  background: color-mix(in srgb, var(--primary-text-color) 7%, transparent);
  padding: 2px;
}
.periods button {
  border: 0;
  background: none;
  min-height: 30px;
  padding: 0 12px;
  border-radius: 16px;
  color: var(--secondary-text-color);
  font-size: var(--ha-font-size-m, 14px);
}
.periods button:hover { color: var(--primary-text-color); }
.periods button[aria-pressed="true"] {
  background: var(--card-background-color, var(--ha-card-background, white));
  color: var(--primary-text-color);
  box-shadow: 0 1px 3px rgb(0 0 0 / 25%);
}
.dark .periods button[aria-pressed="true"] {
  background: color-mix(in srgb, var(--primary-text-color) 20%, transparent);
}

/* --- Timeline --- */

.body { padding: 0 16px 12px; overflow-x: clip; }
.chart {
  position: relative;
  direction: ltr; /* Time goes from left to right. */
  display: grid;
  grid-template: auto 26px auto / minmax(96px, 18%) 1fr;
}
.chart.stacked { grid-template-columns: 0 1fr; }
/* Some of a theme's colours, yellow above all, do not stand out from its background by 3 to 1. */
.bar, .handle, .ways path, .legend span::before {
  --edge: color-mix(in srgb, var(--bar) 50%, var(--primary-text-color));
}
.lanes { grid-area: 1 / 1 / 2 / 3; position: relative; }
.lane {
  position: absolute;
  inset-inline: 0;
  display: flex;
  align-items: center;
  gap: 8px;
  box-sizing: border-box;
  border-top: 1px solid var(--divider-color);
  color: var(--primary-text-color);
  font-size: var(--ha-font-size-m, 14px);
}
.lane:last-child { border-bottom: 1px solid var(--divider-color); }
.lane span {
  width: calc(max(96px, 18%) - 38px);
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}
.lane ha-icon { --mdc-icon-size: 20px; color: var(--secondary-text-color); flex: none; }
.lane.gone { color: var(--secondary-text-color); font-style: italic; }
.stacked .lane { align-items: flex-start; padding-top: 3px; font-size: var(--ha-font-size-s, 12px); gap: 6px; }
.stacked .lanes { z-index: 1; pointer-events: none; }
.stacked .lane span {
  width: auto;
  padding-inline-end: 4px;
  line-height: 16px;
  background: var(--card-background-color, white);
}
.stacked .lane ha-icon { --mdc-icon-size: 15px; }
.plot { grid-area: 1 / 2; position: relative; }
.axis { grid-area: 2 / 2; position: relative; }
.axis span {
  position: absolute;
  top: 7px;
  transform: translateX(-50%);
  white-space: nowrap;
  color: var(--secondary-text-color);
  font-size: var(--ha-font-size-s, 12px);
  font-variant-numeric: tabular-nums;
}
.grid div {
  position: absolute;
  inset-block: 0;
  width: 1px;
  background: var(--divider-color);
  opacity: 0.6;
}
.ways { position: absolute; inset: 0; overflow: visible; pointer-events: none; }
.ways path { fill: none; stroke: var(--edge); stroke-width: 2; opacity: 0.7; }
.ways path.detour { stroke-dasharray: 3 4; }
.now {
  position: absolute;
  inset-block: 0;
  width: 2px;
  margin-left: -1px;
  background: var(--error-color, #db4437);
  pointer-events: none;
}
.now::before {
  content: "";
  position: absolute;
  top: -4px;
  left: -3px;
  width: 8px;
  height: 8px;
  border-radius: 50%;
  background: inherit;
}
.bar {
  position: absolute;
  box-sizing: border-box;
  height: 30px;
  padding: 0 8px;
  border: 2px solid var(--edge);
  border-inline-width: 0;
  background: color-mix(in srgb, var(--bar) 24%, var(--card-background-color, white));
  color: var(--primary-text-color);
  font-size: var(--ha-font-size-s, 12px);
  text-align: start;
  overflow: hidden;
}
.bar span {
  display: block;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}
.bar.opens { border-start-start-radius: 7px; border-end-start-radius: 7px; border-inline-start-width: 2px; }
.bar.closes { border-start-end-radius: 7px; border-end-end-radius: 7px; border-inline-end-width: 2px; }
.bar.narrow { padding: 0; }
.bar:hover, .bar[aria-expanded="true"] {
  background: color-mix(in srgb, var(--bar) 42%, var(--card-background-color, white));
}
.bar:focus-visible { outline-offset: 1px; z-index: 1; }

.handle { position: absolute; top: 0; width: 0; outline: none; z-index: 2; }
.grip {
  position: absolute;
  left: -9px;
  width: 18px;
  display: grid;
  place-items: center;
  cursor: ew-resize;
  touch-action: none;
}
.grip i {
  width: 6px;
  height: 18px;
  border-radius: 4px;
  background: var(--edge);
  border: 2px solid var(--card-background-color, white);
  box-sizing: content-box;
  transition: height 120ms ease;
}
.grip.fine { left: -5px; width: 10px; }
.grip.fine i { width: 2px; height: 30px; border: 0; border-radius: 1px; }
.grip:hover i, .handle.moving .grip i { height: 24px; }
.handle:focus-visible .grip i { outline: 2px solid var(--primary-color); outline-offset: 1px; height: 24px; }
.handle.moving { z-index: 3; }
@media (pointer: coarse) {
  .grip { left: -16px; width: 32px; }
  .grip.fine { left: -8px; width: 16px; }
}
.line {
  position: absolute;
  inset-block: 0;
  border-left: 1px dashed var(--primary-text-color);
  pointer-events: none;
  z-index: 2;
}
.legend {
  grid-area: 3 / 1 / 4 / 3;
  display: flex;
  flex-wrap: wrap;
  gap: 4px 16px;
  padding-top: 6px;
  color: var(--secondary-text-color);
  font-size: var(--ha-font-size-s, 12px);
}
.legend span::before {
  content: "";
  display: inline-block;
  box-sizing: border-box;
  width: 12px;
  height: 12px;
  margin-inline-end: 6px;
  vertical-align: -1px;
  border: 2px solid var(--edge);
  border-radius: 3px;
  background: color-mix(in srgb, var(--bar) 24%, var(--card-background-color, white));
}
.bubble {
  position: absolute;
  bottom: -27px;
  transform: translateX(-50%);
  padding: 3px 9px;
  border-radius: 12px;
  background: var(--primary-text-color);
  color: var(--card-background-color, white);
  font-size: var(--ha-font-size-s, 12px);
  font-variant-numeric: tabular-nums;
  white-space: nowrap;
  pointer-events: none;
  z-index: 4;
}
.impossible .line { border-color: var(--error-color); border-left-style: solid; }
.impossible .bubble { background: var(--error-color); color: white; }

/* --- Below --- */

.notice {
  display: flex;
  align-items: center;
  gap: 12px;
  margin: 0 16px 12px;
  padding: 8px 12px;
  border-radius: 8px;
  font-size: var(--ha-font-size-m, 14px);
  background: color-mix(in srgb, var(--primary-color) 14%, transparent);
}
.notice.error { background: color-mix(in srgb, var(--error-color) 16%, transparent); }
.notice span { flex: 1; }
.empty {
  padding: 8px 16px 24px;
  color: var(--secondary-text-color);
  text-align: center;
}
.only-read {
  position: absolute;
  width: 1px;
  height: 1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}

button.plain, button.main, button.danger {
  min-height: 36px;
  padding: 0 14px;
  border: 0;
  border-radius: 18px;
  background: none;
  color: var(--primary-color);
  font-weight: 500;
  white-space: nowrap;
}
button.plain:hover { background: color-mix(in srgb, var(--primary-color) 10%, transparent); }
button.main { background: var(--primary-color); color: var(--text-primary-color, white); }
button.danger { color: var(--error-color); }
button.danger[data-sure] { background: var(--error-color); color: white; }

.form {
  margin: 0 16px 16px;
  padding: 14px 16px;
  border: 1px solid var(--divider-color);
  border-radius: 12px;
  background: color-mix(in srgb, var(--primary-text-color) 3%, transparent);
}
.form h3 { font-size: var(--ha-font-size-l, 16px); font-weight: 500; }
.told, .hint { color: var(--secondary-text-color); font-size: var(--ha-font-size-m, 14px); }
.told { margin: 2px 0 10px; }
.hint { margin-top: 8px; font-size: var(--ha-font-size-s, 12px); }
.fields { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 10px 12px; }
.fields label { display: flex; flex-direction: column; gap: 4px; min-width: 0; }
.fields label span { font-size: var(--ha-font-size-s, 12px); color: var(--secondary-text-color); }
.fields input, .fields select {
  box-sizing: border-box;
  width: 100%;
  height: 42px;
  padding: 0 10px;
  border: 1px solid var(--input-outlined-idle-border-color, var(--divider-color));
  border-radius: 8px;
  background: var(--card-background-color, white);
}
.fields :disabled { opacity: 0.6; }
.dark .fields input, .dark .fields select { color-scheme: dark; }
.fault { color: var(--error-color); margin-top: 10px; }
.fault:empty { display: none; }
.buttons { display: flex; flex-wrap: wrap; gap: 4px 8px; margin-top: 12px; }
.stretch { flex: 1; }
details { margin-top: 8px; border-top: 1px solid var(--divider-color); padding-top: 8px; }
summary { cursor: pointer; color: var(--primary-color); padding: 6px 0; font-weight: 500; }
details .fields { margin-top: 8px; }

.table { overflow-x: auto; padding: 0 16px 12px; }
table { width: 100%; border-collapse: collapse; font-size: var(--ha-font-size-m, 14px); }
th, td { text-align: start; font-weight: 400; padding: 2px 12px 2px 0; height: 38px; border-bottom: 1px solid var(--divider-color); white-space: nowrap; }
thead th { color: var(--secondary-text-color); font-size: var(--ha-font-size-s, 12px); font-weight: 500; }
td:last-child { padding-right: 0; }

@container (max-width: 480px) {
  .periods { order: 3; width: 100%; }
  .periods button { flex: 1; padding: 0 4px; }
  .form { margin-inline: 8px; padding: 12px; }
}
@media (prefers-reduced-motion: reduce) {
  .grip i { transition: none; }
}
`;

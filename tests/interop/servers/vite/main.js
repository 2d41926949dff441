import { word } from './word.js'

const show = (shown) => { document.getElementById('told').textContent = `word ${shown}` }
show(word)
document.getElementById('loads').textContent = `loaded at ${performance.timeOrigin}`
import.meta.hot.accept('./word.js', (changed) => show(changed.word))

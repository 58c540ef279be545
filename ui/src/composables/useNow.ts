import { ref } from 'vue'

/** The time in milliseconds, coarse: one ticking clock for all relative times. */
export const now = ref(Date.now())

setInterval(() => (now.value = Date.now()), 10_000)

// Runs before the first paint, so that a dark console never flashes white.
(function () {
  var theme = 'system'
  try {
    theme = JSON.parse(localStorage.getItem('sentinel.preferences') || '{}').theme || 'system'
  } catch {
    // A browser without storage follows the system.
  }
  var dark = theme === 'dark' || (theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
})()

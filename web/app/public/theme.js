// Before the first paint, and a file of its own since the page's policy lets no inline script run.
try {
  const theme = localStorage.getItem('tidegate.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {}

"""A folder's jobs as one page that needs nothing but a browser.

``page.render`` puts it together: texts and charts that stand in it as they are (``charts``), and for the timeline and the table the
numbers (``document``), which ``page.js`` draws. Every text of a job is escaped on its way in, or set as text by the script.
"""

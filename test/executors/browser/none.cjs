// A module of Node that nothing in a page gets to.
module.exports = {}

// Start: everything above is defined ------------------------------------------------------------------------------------
addEventListener("hashchange", follow);
drawBoard();
follow();

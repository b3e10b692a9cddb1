

descrpt
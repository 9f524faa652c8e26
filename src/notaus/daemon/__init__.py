"""The daemon: takes one event at a time, writes down what follows from it, and has it carried out."""

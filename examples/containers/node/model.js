// The model: what to replace by one's own.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const LONGEST_TEXT = 100_000; // the process does nothing else while it looks at one
const WORD = /[\p{L}\p{N}_]{2,}/gu;

// Multinomial naive Bayes over the words of a text, with the probabilities that train.py wrote.
class Model {
  static inputType = 'strings';

  constructor(directory) {
    const learned = JSON.parse(fs.readFileSync(path.join(directory, 'topics.json'), 'utf8'));
    this.topics = learned.topics;
    this.priors = learned.log_priors;
    this.words = new Map(Object.entries(learned.log_likelihoods));
  }

  // The output for one input, JSON; what it throws is the failure of this input alone.
  predict(text) {
    if (text.length > LONGEST_TEXT) throw new Error(`The text has more than ${LONGEST_TEXT} characters`);
    const words = (text.toLowerCase().match(WORD) ?? []).filter((word) => this.words.has(word));
    if (words.length === 0) throw new Error('The text has no word that the model knows');
    const scores = this.priors.map((prior, topic) =>
      words.reduce((sum, word) => sum + this.words.get(word)[topic], prior));
    const highest = Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - highest), 0);
    return JSON.stringify({ topic: this.topics[scores.indexOf(highest)], probability: 1 / total, words: words.length });
  }
}

module.exports = { Model };

import { mount } from 'svelte';
import App from './App.svelte';
import './styles/fonts.css';
import './styles/base.css';

const place = document.getElementById('board');
if (place) mount(App, { target: place });
